# bash completion for musterctl
# shellcheck shell=bash
# This is what "musterctl completion bash" prints.

_musterctl_words() {
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
}

_musterctl_files() {
	compopt -o filenames 2>/dev/null
	mapfile -t COMPREPLY < <(compgen -f -- "$cur")
}

_musterctl_names() {
	local name
	while IFS=$'\t' read -r name _; do
		if [[ $name == "$cur"* ]]; then
			printf -v name %q "$name"
			COMPREPLY+=("$name")
		fi
	done < <("${COMP_WORDS[0]}" "${instance[@]}" __complete 2>/dev/null)
}

# Has this option (VERB:OPTION) a value?
_musterctl_takes_value() {
	case $1 in
	logs:-f) return 1 ;;
	*:-f | *:--file) return 0 ;;
	*:-s | *:--socket) return 0 ;;
	*:-H | *:--host) return 0 ;;
	*:--cacert) return 0 ;;
	*:--cert) return 0 ;;
	*:--key) return 0 ;;
	*:--token-file) return 0 ;;
	*:--color) return 0 ;;
	logs:-n | logs:--lines) return 0 ;;
	wait:--for) return 0 ;;
	restart:--timeout | wait:--timeout | shutdown:--timeout) return 0 ;;
	restart:--progress) return 0 ;;
	token:--role) return 0 ;;
	token:--scope) return 0 ;;
	token:--expires) return 0 ;;
	esac
	return 1
}

# The value of an option; 1: it has none.
_musterctl_value() {
	case $1 in
	logs:-f) return 1 ;;
	*:-f | *:--file) _musterctl_files ;;
	*:-s | *:--socket) _musterctl_files ;;
	*:-H | *:--host) ;;
	*:--cacert) _musterctl_files ;;
	*:--cert) _musterctl_files ;;
	*:--key) _musterctl_files ;;
	*:--token-file) _musterctl_files ;;
	*:--color) _musterctl_words 'auto always never' ;;
	logs:-n | logs:--lines) ;;
	wait:--for) _musterctl_words 'verified running stopped exit' ;;
	restart:--timeout | wait:--timeout | shutdown:--timeout) ;;
	restart:--progress) _musterctl_words 'auto tty plain json quiet' ;;
	token:--role) _musterctl_words 'read operate admin' ;;
	token:--scope) ;;
	token:--expires) ;;
	*) return 1 ;;
	esac
	return 0
}

_musterctl_arguments() {
	case $1 in
	status | ps | restart | logs | wait) _musterctl_names ;;
	validate) _musterctl_files ;;
	completion) _musterctl_words 'bash zsh fish' ;;
	help) _musterctl_words 'status ps restart logs wait shutdown info validate test token completion help' ;;
	esac
}

_musterctl_options() {
	local own=
	case $1 in
	restart) own=' --all --no-wait --timeout --progress' ;;
	logs) own=' --follow -f --lines -n --stderr' ;;
	wait) own=' --for --timeout' ;;
	shutdown) own=' --no-wait --timeout' ;;
	token) own=' --role --scope --expires' ;;
	esac
	_musterctl_words " --file -f --socket -s --host -H --cacert --cert --key --token-file --json --quiet -q --color --help -h --version -V$own"
}

_musterctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev='' verb='' word i
	local -a instance=()
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		prev=''
		if [[ $word == -- && -n $verb ]]; then
			if ((i + 1 == COMP_CWORD)) && [[ $verb == test ]]; then
				mapfile -t COMPREPLY < <(compgen -c -- "$cur")
			elif [[ $verb == test ]]; then
				_musterctl_files
			else
				_musterctl_arguments "$verb"
			fi
			return
		elif [[ $word == -* ]]; then
			_musterctl_takes_value "$verb:$word" || continue
			prev=$word
			[[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
			((++i < COMP_CWORD)) || break
			case $word in
			-[fsH] | --file | --socket | --host)
				instance=("$word" "${COMP_WORDS[i]}")
				;;
			esac
			prev=''
		elif [[ -z $verb ]]; then
			verb=$word
		fi
	done
	[[ $cur == = ]] && cur=''
	if [[ -n $prev ]] && _musterctl_value "$verb:$prev"; then
		return
	fi
	if [[ $cur == -* ]]; then
		_musterctl_options "$verb"
	elif [[ -n $verb ]]; then
		_musterctl_arguments "$verb"
	else
		_musterctl_words 'status ps restart logs wait shutdown info validate test token completion help'
	fi
}

complete -F _musterctl musterctl
