# fish completion for musterctl
# This is what "musterctl completion fish" prints.

# Prints the verb, or with arguments: is it one of them?
function __musterctl_verb
	set -l words (commandline -opc)
	set -e words[1]
	set -l skip 0
	for word in $words
		if test $skip = 1
			set skip 0
			continue
		end
		switch $word
			case --file -f --socket -s --host -H --cacert --cert --key --token-file --color --lines -n --for --timeout --progress --role --scope --expires
				set skip 1
			case '-*'
				continue
			case '*'
				test (count $argv) = 0; or contains -- $word $argv
				return
		end
	end
	return 1
end

function __musterctl_names
	set -l words (commandline -opc)
	set -l instance
	for i in (seq 2 (math (count $words) - 1))
		switch $words[$i]
			case -f -s -H --file --socket --host
				set instance $words[$i] $words[(math $i + 1)]
			case '--file=*' '--socket=*' '--host=*'
				set instance $words[$i]
			case '-*'
			case '*'
				contains -- $words[(math $i - 1)] -f -s -H --file --socket --host --color; or break
		end
	end
	$words[1] $instance __complete 2>/dev/null
end

complete -c musterctl -f
complete -c musterctl -n 'not __musterctl_verb logs' -s f -l file -r -F -d 'the instance of this configuration file'
complete -c musterctl -s s -l socket -r -F -d 'the instance on this Unix socket'
complete -c musterctl -s H -l host -x -d 'the instance at http[s]://HOST[:PORT], unix:///PATH'
complete -c musterctl -l cacert -r -F -d 'https: the CA that certifies musterd (the system\'s)'
complete -c musterctl -l cert -r -F -d 'https: our certificate'
complete -c musterctl -l key -r -F -d 'https: its private key (the same file)'
complete -c musterctl -l token-file -r -F -d 'the token to show (the variable MUSTER_TOKEN)'
complete -c musterctl -l json -d 'JSON: one document, or an object a line (logs)'
complete -c musterctl -s q -l quiet -d 'no notes, and no results but the exit code'
complete -c musterctl -l color -x -a 'auto always never' -d 'colours: auto, always or never'
complete -c musterctl -s h -l help -d 'print help, of a verb behind one'
complete -c musterctl -s V -l version -d 'print the version'
complete -c musterctl -n 'not __musterctl_verb' -a status -d 'show the processes, or one in detail'
complete -c musterctl -n '__musterctl_verb status' -a '(__musterctl_names)'
complete -c musterctl -n 'not __musterctl_verb' -a ps -d 'the same as status'
complete -c musterctl -n '__musterctl_verb ps' -a '(__musterctl_names)'
complete -c musterctl -n 'not __musterctl_verb' -a restart -d 'restart them, and wait until they are verified'
complete -c musterctl -n '__musterctl_verb restart' -l all -d 'all processes, one after another'
complete -c musterctl -n '__musterctl_verb restart' -l no-wait -d 'return as soon as it is under way'
complete -c musterctl -n '__musterctl_verb restart' -l timeout -x -d 'give up after this: 10, 500ms, 2m (exit code 124)'
complete -c musterctl -n '__musterctl_verb restart' -l progress -x -a 'auto tty plain json quiet' -d 'progress: auto, tty, plain, json or quiet'
complete -c musterctl -n '__musterctl_verb restart' -a '(__musterctl_names)'
complete -c musterctl -n 'not __musterctl_verb' -a logs -d 'show what processes have written'
complete -c musterctl -n '__musterctl_verb logs' -s f -l follow -d 'go on with what they write from now on'
complete -c musterctl -n '__musterctl_verb logs' -s n -l lines -x -d 'the last N lines, or all (with -f: 10, else all)'
complete -c musterctl -n '__musterctl_verb logs' -l stderr -d 'only what went to standard error'
complete -c musterctl -n '__musterctl_verb logs' -a '(__musterctl_names)'
complete -c musterctl -n 'not __musterctl_verb' -a wait -d 'wait until all is ready, or for a state'
complete -c musterctl -n '__musterctl_verb wait' -l for -x -a 'verified running stopped exit' -d 'verified (default), running, stopped or exit'
complete -c musterctl -n '__musterctl_verb wait' -l timeout -x -d 'give up after this: 10, 500ms, 2m (exit code 124)'
complete -c musterctl -n '__musterctl_verb wait' -a '(__musterctl_names)'
complete -c musterctl -n 'not __musterctl_verb' -a shutdown -d 'stop all processes and musterd'
complete -c musterctl -n '__musterctl_verb shutdown' -l no-wait -d 'return as soon as it is under way'
complete -c musterctl -n '__musterctl_verb shutdown' -l timeout -x -d 'give up after this: 10, 500ms, 2m (exit code 124)'
complete -c musterctl -n 'not __musterctl_verb' -a info -d 'show what musterd says of itself'
complete -c musterctl -n 'not __musterctl_verb' -a validate -d 'check a configuration (musterd -n)'
complete -c musterctl -n '__musterctl_verb validate' -F
complete -c musterctl -n 'not __musterctl_verb' -a test -d 'run a command between start and end of all'
complete -c musterctl -n '__musterctl_verb test' -a '(__fish_complete_subcommand --commandline)' -F
complete -c musterctl -n 'not __musterctl_verb' -a token -d 'make a token, and its record for http.tokens'
complete -c musterctl -n '__musterctl_verb token' -l role -x -a 'read operate admin' -d 'what it may do: read (default), operate or admin'
complete -c musterctl -n '__musterctl_verb token' -l scope -x -d 'SESSION or SESSION.JOB, again for more (everything)'
complete -c musterctl -n '__musterctl_verb token' -l expires -x -d 'when it ends: 2030-12-31, in UTC (never)'
complete -c musterctl -n 'not __musterctl_verb' -a completion -d 'print a completion script for a shell'
complete -c musterctl -n '__musterctl_verb completion' -a 'bash zsh fish'
complete -c musterctl -n 'not __musterctl_verb' -a help -d 'print this, or the help of a verb'
complete -c musterctl -n '__musterctl_verb help' -a 'status ps restart logs wait shutdown info validate test token completion help'
