"""Configurations and what musterd says of them: data for the tests here."""

import json

J = {"executable": "true", "arguments": []}


def doc(top=None, **job):
    """A configuration with one job `a`; its keys are written with `-`."""
    job = {k.replace("_", "-"): v for k, v in job.items()}
    return {**(top or {}), "processes": {"a": {"command": "true", **job}}}


def top(**keys):
    """A configuration without jobs."""
    return {**{k.replace("_", "-"): v for k, v in keys.items()},
            "processes": {}}


def verify(**keys):
    """A job whose `verify` is a mapping."""
    return doc(verify={k.replace("_", "-"): v for k, v in keys.items()})


def http_ok(**arguments):
    return doc(verifier={"type": "pymutils.http_verifier.HttpOkVerifier",
                         "arguments": arguments})


# Each is accepted by musterd -n, and by the JSON Schema.
ACCEPTED = {
    "log files of several": {"processes": {
        "a": {**J, "redirect-output": "log", "append": True},
        "b": {**J, "stdout": {"file": "log", "append": True}},
        "c": {**J, "stdout": {"file": "both"}, "stderr": {"file": "both"}},
        "d": {**J, "stdout": {"file": "/dev/stderr"}},
        "e": {**J, "stdout": {"file": "/dev/stderr"}},
        "f": {**J, "redirect-output": "f", "append": True, "instances": 2},
        "g": {**J, "stdout": {"file": "/dev/stderr"}, "instances": 2}}},
    "nothing to do": top(),
    # --- the top ---
    "schema": {"$schema": "muster.schema.json", "processes": {}},
    "x- keys": {"x-a": [1], "x-b": None,
                "http": {"x-c": 1, "enabled": False},
                "processes": {"a": {**J, "x-d": {}, "options": {"x-e": 1}}}},
    "x- under processes": {"processes": {"x-a": "text", "x-b": J}},
    "expand": {"expand": True, "http": {"enabled": True, "port": "${NO:-5001}"},
               "processes": {"a": {
                   "command": "echo ${HOME} ${NO:-x} $${HOME}",
                   "verify": {"tcp": "${NO:-81}", "timeout": "${NO:-1s}"},
                   "capture": "${NO:-64k}"}}},
    "http": top(http={"enabled": True, "port": 5001, "address": "localhost",
                      "unix": "m.sock", "workers": 2, "allow-hosts": ["a"],
                      "allow-origins": "http://a", "allow-users": [0, "root"],
                      "allow-groups": "root", "insecure": False}),
    "http port as text": top(http={"enabled": True, "port": "5001"}),
    "http on IPv6": top(http={"enabled": True, "address": "::1"}),
    "keep-alive": top(keep_alive=True),
    "keep_alive": {"keep_alive": True, "processes": {}},
    "graceful-time, number": top(graceful_time=2.7),
    "graceful-time, text": top(graceful_time="500ms"),
    "graceful_time": {"graceful_time": 3, "processes": {}},
    "default-shell, none": top(default_shell=False),
    "default-shell, true": top(default_shell=True),
    "default_shell, a program": {"default_shell": "/bin/bash",
                                 "processes": {}},
    "messages": top(messages=["process.exit", "verifier.fail",
                              "verifier.verbose"]),
    "messages, one string": top(messages="process.exit"),
    "logfile": top(logfile="muster.log"),
    "verbose": top(verbose=True),
    "modules": top(modules={"pymutils.http_verifier": {
        "verifiers": ["HttpOkVerifier"]}}),
    "start-parallel": top(start_parallel=1),
    "defaults of what is not there": doc(
        {"on-parent-death": "kill", "allow-load": False}, backpressure=False),
    # --- the job ---
    "executable": {"processes": {"a": J}},
    "numbers as arguments": {"processes": {"a": {
        "executable": "true", "arguments": [1, 2.5, True, "x"]}}},
    "command as a list": doc(command=["sh", "-c", "true"]),
    "quotes": doc(command="sh -c 'exit 0' \"a b\" c\\ d ''"),
    "replacements": doc(command="echo $(name) $(instance) $(date)",
                        environment={"I": "$(instance)"}),
    "shell": doc(shell=True, command="true | true"),
    "shell by name": doc(shell="bash"),
    "shell, off": doc(shell=False),
    "working-directory": doc(working_directory="sub"),
    "environment": doc(environment={"A": "x", "B": 1, "C": True, "D": ""}),
    "environment, list": doc(environment=["A=x", "B="]),
    "environment-file": doc(environment_file="env"),
    "clear-environment": doc(clear_environment=True),
    "user": doc(user="root", group="root", groups=["root", 0]),
    "user, number": doc(user=0, group=0, groups=[]),
    "umask": doc(umask="022"),
    "umask, number": doc(umask=77),
    "umask, 0o": doc(umask="0o27"),
    "nice": doc(nice=-20),
    "limits": doc(limits={"nofile": 100, "core": 0, "as": "unlimited",
                          "nproc": {"soft": 10, "hard": "infinity"},
                          "stack": 8388608, "cpu": 1, "data": 1, "fsize": 1,
                          "locks": 1, "memlock": 1, "msgqueue": 1, "nice": 1,
                          "rss": 1, "rtprio": 1, "rttime": 1,
                          "sigpending": 1}),
    "instances": doc(instances=4),
    "instances, none": doc(instances=0),
    "autostart": doc(autostart=False),
    "restart, never": doc(restart="never"),
    "restart, on-failure": doc(restart="on-failure"),
    "restart, always": doc(restart="always"),
    "backoff": doc(backoff={"initial": 0, "max": "1m", "reset-after": 1.5}),
    "backoff, synonym": doc(backoff={"reset_after": "1h"}),
    "start-limit": doc(start_limit={"count": 3, "within": "10s",
                                    "retry-after": "1d", "retries": 2}),
    "success-codes": doc(success_codes=[0, 3, -15]),
    "success-codes, one": doc(success_codes=3),
    "stop": doc(stop="INT"),
    "stop, with SIG": doc(stop="SIGINT"),
    "stop, number": doc(stop=2),
    **{f"stop, {name}": doc(stop=name) for name in (
        "15", "09", "RTMIN", "SIGRTMIN", "rtmin+3", "SIGRTMIN+30", "RTMAX",
        "SIGRTMAX", "RTMAX-0", "sigrtmax-30")},
    "stop, names in steps": doc(stop=["RTMIN+1", {"signal": "9"}]),
    "stop, mapping": doc(stop={"signal": "QUIT", "wait": "1s"}),
    "stop, steps": doc(stop=["INT", {"signal": 15, "wait": 1}, "KILL"]),
    "graceful-time of a job": doc(graceful_time="1s"),
    "on-exit": doc(on_exit="shutdown"),
    "on-exit, none": doc(on_exit="none"),
    "suppress-output": doc(suppress_output=True),
    "redirect-output": doc(redirect_output="log", append=True),
    "not suppressed, redirected": doc(suppress_output=False,
                                      redirect_output="log"),
    "stdout": doc(stdout="show", stderr="join"),
    "stdout, kept": doc(stdout="keep", stderr="keep"),
    "stdout, discarded": doc(stdout="discard", stderr="discard"),
    "stdout, inherited": doc(stdout="inherit", stderr="inherit"),
    "stdout, file": doc(stdout={"file": "out", "append": True},
                        stderr={"file": "err"}),
    "capture": doc(capture=4096),
    "capture, k": doc(capture="64k"),
    "capture, MiB": doc(capture="1.5 MiB"),
    "prefix": doc(prefix=True),
    "stdin": doc(stdin="pipe"),
    "stdin, null": doc(stdin="null"),
    "stdin, the null of JSON": doc(stdin=None),
    "options": {"processes": {"a": {**J, "options": {
        "suppress_output": False, "working_directory": "sub",
        "environment_file": "env", "shell": "sh", "restart": "always"}}}},
    "options, hyphens": {"processes": {"a": {**J, "options": {
        "redirect-output": "log", "after": []}}}},
    # --- after ---
    "after": {"processes": {"a": J, "b": {**J, "after": "a"},
                            "c": {**J, "after": ["a", "default.b"]},
                            "d": {**J, "after": {"a": "exited",
                                                 "b": "verified",
                                                 "c": "started"}}}},
    # --- verify ---
    "verify, exited": doc(verify="exited"),
    "verify, URL": doc(verify="http://localhost:8080/health"),
    "verify, unix URL": doc(verify="http+unix://%2Frun%2Fa.sock/health"),
    "verify, http": verify(
        http="https://[::1]:8443/x?y=z", timeout="30s", interval="200ms",
        attempt_timeout=1, method="HEAD", headers={"A": "b", "C": 1},
        status=[200, "300-399"], body="ok", header={"Server": "x"},
        redirects=0, insecure=True),
    "verify, status": verify(http="http://a", status=404),
    "verify, status range": verify(http="http://a", status="200-599"),
    "verify, header as text": verify(http="http://a", header="Server: x"),
    "verify, headers as list": verify(http="http://a", header=["A", "B: c"]),
    "verify, http+unix": verify(**{"http+unix": "a.sock", "path": "/x"}),
    "verify, http by unix": verify(unix="/a.sock", http="http://a/x"),
    "verify, unix by http": verify(http="http://a/x", unix="/a.sock"),
    "verify, tcp": verify(tcp="localhost:80"),
    "verify, tcp port": verify(tcp=80),
    "verify, tcp IPv6": verify(tcp="[::1]:80"),
    "verify, unix": verify(unix="a.sock"),
    "verify, exit code": verify(exited=3),
    "verify, signal": verify(exited=-15),
    "verify, exited true": verify(exited=True),
    "verify, command": verify(command="test -e x"),
    "verify, command list": verify(command=["test", "-e", "x"]),
    "verify, file": verify(file="x"),
    "verify, list": doc(verify=["exited", {"file": "x"}]),
    # --- pymanager's verifiers ---
    "HttpOkVerifier": http_ok(url="http://localhost:1/x", timeout=5,
                              interval=2, headers={"A": "b"}),
    "ExitedVerifier": doc(verifier={
        "type": "pymutils.exited_verifier.ExitedVerifier",
        "arguments": {"timeout": 3, "expect_code": -9}}),
    "ExitedVerifier, bare": doc(verifier={
        "type": "pymutils.exited_verifier.ExitedVerifier"}),
    **{f"verifier {name}": doc(verifier={
        "type": name, "arguments": {"url": "http://localhost"}
        if "Http" in name else {}}) for name in (
            "http_verifier.HttpOkVerifier",
            "utils.http_verifier.HttpOkVerifier",
            "pymutils.http_verifier.HttpOkVerifier",
            "pymutils.HttpOkVerifier", "exited_verifier.ExitedVerifier",
            "utils.exited_verifier.ExitedVerifier",
            "pymutils.exited_verifier.ExitedVerifier",
            "pymutils.ExitedVerifier")},
    "a class of one's own": doc(
        {"modules": {"my.verifiers": {"verifiers": ["Mine"]}}},
        verifier={"type": "my.verifiers.Mine", "arguments": {"x": [1, None]}}),
    "a class, modules behind": {
        "processes": {"a": {**J, "verifier": {"type": "m.V"}}},
        "modules": {"m": {"verifiers": ["V"]}}},
    "a list of verifiers": doc(verifier=[
        {"type": "pymutils.ExitedVerifier"},
        {"type": "pymutils.ExitedVerifier"}]),
    # --- names ---
    "names": {"processes": {"\U0001f600 ä.b-c:d$e": J, "n" * 128: J}},
}

# Texts that are not JSON, or that JSON cannot say.
ACCEPTED_TEXTS = {
    "emoji escape": ("a.json", r'{"processes": {"\ud83d\ude00": '
                     '{"command": "true"}}}'),
    "BOM, JSON": ("a.json", b'\xef\xbb\xbf{"processes": {}}'),
    "BOM, YAML": ("a.yaml", b"\xef\xbb\xbfprocesses: {}\n"),
    "CRLF, JSON": ("a.json", b'{\r\n"processes":\r\n{}\r\n}\r\n'),
    "CRLF, YAML": ("a.yaml", b"processes:\r\n  a:\r\n    command: x\r\n"),
    "JSON without a suffix": ("a.conf", ' {"processes": {}}'),
    "YAML without a suffix": ("a.conf", "processes: {}"),
    "JSON in YAML": ("a.yaml", '{"processes": {"a": {"command": "true"}}}'),
    "anchors": ("a.yaml", "x-a: &a {restart: always}\nprocesses:\n"
                "  a: {command: x, <<: *a}\n  b: {<<: *a, command: y}\n"),
    "umask 022 in YAML": ("a.yaml", "processes: {a: {command: x, "
                          "umask: 022}}"),
    "Procfile": ("Procfile", "# comment\nweb: ./web $PORT | cat\n\n"
                 "worker:\t\"x\" \\y\r\n"),
    "Procfile, empty": ("Procfile", ""),
}


# Keys of `verify` that say what a request and its answer are like.
HTTP_KEYS = {"method": "GET", "headers": {"A": "b"}, "status": 200,
             "body": "OK", "header": "A", "redirects": 1, "insecure": True,
             "ca": "/etc/passwd"}

# name: (document, line:column and text of the first problem[, exit code])
# Documents are dicts (written as JSON on one line) or text (YAML).
REJECTED = {
    # --- kinds of values ---
    "a word for a mapping": (top(http="x"), ":1:10: http: want a mapping, "
                             "got string \"x\""),
    "null": ("http:\nprocesses: {}", ":1:6: http: want a mapping, got null"),
    "text for a number": (
        doc(instances="4"),
        'processes.a.instances: want a number 0-4096, got string "4"'),
    "too much": (doc(instances=4097), "want a number 0-4096, got 4097"),
    "a fraction": (doc(instances=1.5), "want a number 0-4096, got number 1.5"),
    "below zero": (doc(instances=-1), "want a number 0-4096, got -1"),
    "yes": ("processes: {a: {command: x, autostart: yes}}",
            ':1:40: processes.a.autostart: want true or false, got string '
            '"yes" (did you mean true or false?)'),
    "no is not true": (
        "keep-alive: no\nprocesses: {}", ':1:13: keep-alive: want true or '
        'false, got string "no" (did you mean true or false?)'),
    "yes is no shell": ("processes: {a: {command: x, shell: yes}}",
                        'got string "yes" (did you mean true or false?)'),
    "a wrong word": (doc(restart="allways"),
                     'processes.a.restart: want one of never, on-failure, '
                     'always, got "allways" (did you mean "always"?)'),
    "a number for a list": (
        {"processes": {"a": {"executable": "x", "arguments": "-v"}}},
        'processes.a.arguments: want a list of strings, got string "-v"'),
    "a list in a list": (
        {"processes": {"a": {"executable": "x", "arguments": ["a", []]}}},
        "processes.a.arguments[1]: want a string, got list"),
    "null in a list": (
        {"processes": {"a": {"executable": "x", "arguments": [None]}}},
        "processes.a.arguments[0]: want a string, got null"),
    "control characters are escaped": (
        doc(restart="a\u001b[2J\u202e"),
        'always, got "a\\x1b[2J\\u202e"'),
    # --- durations and sizes ---
    "no duration": (doc(graceful_time="soon"),
                    'processes.a.graceful-time: want a duration (seconds, or '
                    '"500ms" "2s" "5m"), got "soon"'),
    "a duration of an unknown unit": (doc(graceful_time="3 weeks"),
                                      'got "3 weeks"'),
    "a duration with two points": (doc(graceful_time="1.2.3s"), "want a dur"),
    "a negative duration": (doc(graceful_time=-1), "0 to 31 days, got -1"),
    "a long duration": (doc(graceful_time="32d"), "0 to 31 days, got 32d"),
    "infinite": ("processes: {a: {command: x, graceful-time: .inf}}",
                 "0 to 31 days, got .inf"),
    "not a number": ("processes: {a: {command: x, graceful-time: .nan}}",
                     "0 to 31 days, got .nan"),
    "no pause": (verify(tcp=1, interval=0),
                 "processes.a.verify.interval: want a duration of at least "
                 "1 ms"),
    "no time for an attempt": (verify(tcp=1, attempt_timeout=0),
                               "attempt-timeout: want a duration of at"),
    "a small capture": (doc(capture=100), "want a size of 4096 to 1073741824 "
                        'bytes ("64k"), got "100"'),
    "no size": (doc(capture="64kb"), 'got "64kb"'),
    # --- the top ---
    "port": (top(http={"port": 70000, "enabled": True}),
             "http.port: want a number 0-65535, got 70000", 1),
    "port, text": (top(http={"enabled": True, "port": "http"}),
                   'http.port: want a number 0-65535, got string "http"', 1),
    "a foreign address": (top(http={"address": "0.0.0.0", "enabled": True}),
                          "0.0.0.0 is not a loopback address: that wants tls"),
    "no address": (top(http={"address": "example.org"}),
                   'want a numeric address, got "example.org"'),
    "workers": (top(http={"workers": 0}), "want a number 1-16, got 0"),
    "a long socket path": (top(http={"unix": "/" + "x" * 107}),
                           "http.unix: want the path of a socket of at most "
                           "107 bytes, got 108"),
    "no such user": (top(http={"allow-users": ["no-such-user"]}),
                     "no such user or group: no-such-user"),
    "expand": ({"expand": True, **doc(command="x ${NO_SUCH}")},
               "processes.a.command: ${NO_SUCH} is not in musterd's "
               "environment"),
    "expand, open": ({"expand": True, **doc(command="x ${NO")},
                     '"${" without its "}"'),
    "processes: null": ({"processes": None},
                        "processes: want a mapping, got null"),
    "a job that is none": ({"processes": {"a": 1}},
                           "processes.a: want a mapping, got integer"),
    "start-parallel": (top(start_parallel=0), "want a number 1-4096, got 0"),
    # --- not in this version ---
    **{f"later: {where}": (document, f"{where}: not available in this version"
                           ": ") for where, document in {
        "http.tls.key-holder": top(http={"tls": {
            "certificate": "c", "key": "k", "key-holder": True}}),
        "papa": top(papa={}),
        "user": top(user="_muster"),
        "allow-load": top(allow_load=True),
        "on-parent-death": top(on_parent_death="keep"),
        "sockets": top(sockets={}),
        "values": top(values={}),
        "state-directory": top(state_directory="x"),
        "processes.a.restart-with": doc(restart_with=["b"]),
        "processes.a.check": doc(check={"tcp": 1}),
        "processes.a.rotate": doc(rotate={}),
        "processes.a.streams": doc(streams=["x"]),
        "processes.a.backpressure": doc(backpressure=True),
        "processes.a.verify.log": verify(log="x"),
        "processes.a.verify.notify": verify(notify=True)}.items()},
    "later: sockets in words": (doc(command="x $(socket.a.port)"),
                                "not available in this version"),
    "later: sockets in the environment": (
        doc(environment={"A": "$(socket.a.fileno)"}),
        "processes.a.environment.A: $(socket…) is not available"),
    "later: sockets in a URL": (verify(http="http://a:$(socket.a.port)/"),
                                "in this version"),
    "later: a name in HOST:PORT": (verify(tcp="$(name):80"),
                                   "in this version"),
    # --- the job ---
    "no program": ({"processes": {"a": {"executable": "x"}}},
                   ":1:21: processes.a: Missing executable or arguments in "
                   "definition for process a."),
    "no program either": ({"processes": {"a": {"arguments": []}}},
                          "Missing executable or arguments in definition"),
    "an empty command": (doc(command=""), "processes.a.command: Missing "),
    "an empty word": (doc(command="''"), "processes.a.command: Missing "),
    "an empty list": (doc(command=[]), "processes.a.command: Missing "),
    "both forms": (doc(executable="x", arguments=[]),
                   "processes.a.command: give either command, or executable "
                   "and arguments"),
    "command and arguments": (doc(arguments=[]), "give either command, or"),
    "an open quote": (doc(command="sh -c 'x"),
                      "processes.a.command: a quote is not closed"),
    "an empty user": (doc(user=""), "processes.a.user: want a name or a "
                      "number, got an empty string"),
    "a long user": (doc(user="u" * 129), "of at most 128 bytes, got 129"),
    "an empty path": (doc(working_directory=""),
                      "working-directory: want a path, got an empty string"),
    "a long path": (doc(working_directory="/" + "x" * 4095),
                    "want a path of at most 4095 bytes, got 4096"),
    "an empty environment-file": (doc(environment_file=""),
                                  "want a path, got an empty string"),
    "a long environment-file": (doc(environment_file="'" * 1024),
                                "want a path of at most 1023 bytes, got 1024"),
    "a large environment of a class": (
        doc({"modules": {"m": {"verifiers": ["V"]}}},
            command=["x", "y" * 20000],
            environment={f"V{i}": "x" * 119000 for i in range(8)},
            verifier={"type": "m.V", "arguments": {"x": "y" * 125000}}),
        "processes.a: verifier: command, arguments and environment are larger "
        "than 960 KiB"),
    "a long name of a class": (
        doc({"modules": {"m": {"verifiers": ["V" * 1023]}}},
            verifier={"type": "m." + "V" * 1023}),
        "processes.a.verifier.type: a name of more than 1024 bytes"),
    "much that is allowed": (
        top(http={"allow-hosts": ["h" * 20000] * 3}),
        "http: allow-hosts, allow-origins, allow-users and allow-groups are "
        "larger than 48 KiB"),
    "a variable without =": (doc(environment=["A"]), "want NAME=VALUE"),
    "a variable without a name": (doc(environment=["=A"]), "want NAME=VALUE"),
    "= in a name": (doc(environment={"A=B": 1}),
                    'environment."A=B": no name of an environment variable'),
    "a variable of null": (doc(environment={"A": None}),
                           "environment.A: want a string, got null"),
    "umask": (doc(umask="088"), 'want an octal mask such as "022"'),
    "umask, too large": (doc(umask="1000"), "want an octal mask"),
    "limit": (doc(limits={"nofiles": 1}),
              'limits.nofiles: unknown limit (did you mean "nofile"?)'),
    "limit, value": (doc(limits={"nofile": "many"}),
                     'want a number, "unlimited", or {soft, hard}'),
    "limit, soft over hard": (doc(limits={"nofile": {"soft": 2, "hard": 1}}),
                              "limits.nofile: soft is more than hard"),
    "signal": (doc(stop="TREM"), '"TREM" is no signal'),
    **{f"signal {name}": (doc(stop=name), f'stop: "{name}" is no signal')
       for name in ("0", "65", "", "1x", " 1", "SIG15", "RTMIN+", "RTMIN+31",
                    "RTMIN-1", "RTMAX+1", "RTMAX-31", "RTMIN+ 1", "RTMIN++1",
                    "RTMIN+x", "RTMINX", "1" * 30)},
    **{f"signal of the library {name}": (
        doc(stop=name), "is no signal to use") for name in (32, "33", "032")},
    "signal, a list": (doc(stop=[["TERM"]]), "processes.a.stop[0]: want a "
                       "signal or a mapping with signal and wait, got list"),
    "signal, null": (doc(stop=[None]), "processes.a.stop[0]: want a signal, "
                     "by name or number, got null"),
    "signal, number": (doc(stop={"signal": 65}), "want a number 1-64, got 65"),
    "many steps": (doc(stop=["INT"] * 17), "more than 16 steps"),
    "exit code": (doc(success_codes=["x"]), "want an exit code"),
    "suppressed and redirected": (
        doc(suppress_output=True, redirect_output="x"),
        "suppress_output and redirect_output exclude each other"),
    "stdout and redirected": (doc(stdout="show", redirect_output="x"),
                              "stdout and redirect_output exclude each other"),
    "stdout joined": (doc(stdout="join"), "want one of show, keep, discard, "
                      'inherit, or {file: PATH}, got "join"'),
    "stdout without a file": (doc(stdout={"append": True}),
                              "stdout: want {file: PATH}"),
    **{f"output to the configuration, {name}": (
        doc(redirect_output=name),
        ":1:60: processes.a: its output file is the configuration")
       for name in ("a.json", "./a.json", "x/.././/a.json")},
    "errors to the configuration": (
        "processes:\n  a:\n    command: x\n    stderr:\n      append: true\n"
        "      file: a.yaml\n",
        ":6:13: processes.a: its output file is the configuration"),
    "messages to the configuration": (
        top(logfile="a.json"), ":1:13: logfile: this is the configuration"),
    "redirect_output: null": (doc(redirect_output=None),
                              "redirect-output: want a string, got null"),
    "too many groups": (doc(groups=list(range(65))), "more than 64 groups"),
    # --- names ---
    **{f"name {name!r}": ({"processes": {name: J}}, "a name has 1 to 128 bytes"
                          ', no "/" and no control characters')
       for name in ("", "a/b", ".", "..", "a\nb", "a\x7f", "a\x85b",
                    "n" * 129, "ä" * 65)},
    # --- after ---
    "after nobody": ({"processes": {"data-base": J,
                                    "web": {**J, "after": ["database"]}}},
                     'processes.web.after: no job "database" (did you mean '
                     '"data-base"?)'),
    "after nobody like it": (doc(after=["web"]), 'after: no job "web"'),
    "after itself": (doc(after=["a"]),
                     "processes.a.after: a cycle: a -> a"),
    "a cycle": ("processes:\n  a: {command: x, after: b}\n"
                "  b: {command: x, after: [c]}\n"
                "  c: {command: x, after: {d: started, a: exited}}\n"
                "  d: {command: x}\n",
                ":2:26: processes.a.after: a cycle: a -> b -> c -> a"),
    "a cycle behind": ("processes:\n  a: {command: x, after: b}\n"
                       "  b: {command: x, after: [a2, c]}\n"
                       "  a2: {command: x}\n"
                       "  c: {command: x, after: b}\n",
                       ":3:31: processes.b.after: a cycle: b -> c -> b"),
    "an unknown condition": (
        {"processes": {"a": J, "b": {**J, "after": {"a": "exitd"}}}},
        'after.a: want one of verified, exited, started, got "exitd" (did '
        'you mean "exited"?)'),
    "after a number": (doc(after=[1]), "want the name of a job"),
    # --- verify ---
    "no kind": (verify(timeout=1),
                "processes.a.verify: want one of http, http+unix, tcp, unix, "
                "exited, command, file"),
    "two kinds": (verify(tcp=1, exited=0),
                  "verify.exited: one verifier is of one kind: tcp or exited"),
    "a word": (doc(verify="verified"),
               "want exited, a URL, or a mapping such as {http: URL}"),
    "no URL": (verify(http="localhost:80/x"),
               "verify.http: want a URL with http:// or https://"),
    "a URL without a host": (verify(http="http:///x"), "the URL has no host"),
    "a URL with a bad port": (verify(http="http://a:b/"), "has a bad port"),
    "a URL with a large port": (verify(http="http://a:65536/"),
                                "the URL has a bad port"),
    "a URL with blanks": (verify(http="http://a/b c"), "has blanks in it"),
    "a long URL": (verify(http="http://a/" + "x" * 8192), "or is too long"),
    "http+unix, no path": (verify(http="http+unix://a/b"),
                           "want http+unix://%2Fpath%2Fto.sock/path"),
    "path without http+unix": (verify(http="http://a", path="/x"),
                               "verify.path: goes with http+unix only"),
    "path of a socket": (verify(unix="/a", path="/x"),
                         "verify.path: goes with http+unix only (did you mean "
                         "http+unix?)"),
    # A key that its kind does not look at would prove nothing.
    **{f"{key} of {kind}": (
        verify(**{kind: value, key: text}), f"processes.a.verify.{key}: goes "
        "with http and http+unix only" + (
            " (did you mean http+unix?)" if kind == "unix" else ""))
       for kind, value in (("tcp", 28778), ("unix", "/a"), ("command", "x"),
                           ("file", "x"), ("exited", 0))
       for key, text in HTTP_KEYS.items()},
    "a second verifier": (
        doc(verify=["exited", {"tcp": 1, "status": 200}]),
        "processes.a.verify[1].status: goes with http and http+unix only"),
    "path of a word": (verify(**{"http+unix": "a", "path": "x"}),
                       "want the path of a URL, that begins with /"),
    "https over a Unix socket": (verify(http="https://a", unix="/a"),
                                 "no https over a Unix socket"),
    "tcp, no port": (verify(tcp="localhost"), "tcp: want HOST:PORT"),
    "tcp, large": (verify(tcp="localhost:65536"), "tcp: want HOST:PORT"),
    "tcp, blanks": (verify(tcp="a b:80"), "tcp: want HOST:PORT"),
    "tcp, a long host": (verify(tcp="h" * 254 + ":80"), "want HOST:PORT"),
    "exited, false": (verify(exited=False), "want true, or the exit code"),
    "exited, large": (verify(exited=256), "want a number -64 to 255, got 256"),
    "no command": (verify(command=""), "verify.command: want a command"),
    "method": (verify(http="http://a", method="G T"),
               "want a request method such as GET"),
    "CONNECT": (verify(http="http://a", method="CONNECT"),
                "want a request method such as GET"),
    "a header's name": (verify(http="http://a", headers={"A B": "c"}),
                        "no name and value of a header field"),
    "a header's value": (verify(http="http://a", headers={"A": "b\r\nC: d"}),
                         "no name and value of a header field"),
    "many headers": (verify(http="http://a",
                            headers={f"h{i}": "x" for i in range(65)}),
                     "too many header fields"),
    "large headers": (verify(http="http://a",
                             headers={f"h{i}": "x" * 2000 for i in range(40)}),
                      "header fields, body and ca are larger than 60 KiB"),
    "status": (verify(http="http://a", status=99), "want a number 100-599"),
    "status, range": (verify(http="http://a", status="300-200"),
                      'want a status, or a range "200-399"'),
    "many statuses": (verify(http="http://a", status=[200] * 33),
                      "more than 32 statuses"),
    "redirects": (verify(http="http://a", redirects=51), "want a number 0-50"),
    "no ca": (verify(http="https://a", ca="/nonexistent/ca.pem"),
              "verify.ca: cannot read /nonexistent/ca.pem: No such file"),
    "many verifiers": (doc(verify=["exited"] * 17), "more than 16 verifiers"),
    # --- pymanager's verifiers ---
    "no verifier": (doc(verifier=None), "processes.a.verifier: want a list or a mapping, "
                    "got null"),
    "no type": (doc(verifier={"arguments": {}}),
                "Missing verifier type for verifier of process a."),
    "an unknown type": (doc(verifier={"type": "m.V"}),
                        "Missing verifier m.V used in process a"),
    "a kind of verify": (doc(verifier={"type": "tcp"}),
                         "Missing verifier tcp used in process a (did you "
                         'mean "verify: {tcp: ...}"?)'),
    "HttpOkVerifier without a url": (http_ok(timeout=1), "has no url"),
    "HttpOkVerifier, url": (http_ok(url="localhost"), "want a URL with http"),
    "HttpOkVerifier, interval": (http_ok(url="http://a", interval=0),
                                 "want a duration of at least 1 ms"),
    "arguments: null": (doc(verifier={"type": "pymutils.ExitedVerifier",
                                      "arguments": None}),
                        "verifier.arguments: want a mapping, got null"),
    # --- sizes ---
    "a long word": (doc(command=["x", "y" * 131072]),
                    "processes.a.command[1]: want a string of at most 131071 "
                    "bytes, got 131072"),
    "many words": (doc(command=["x"] * 4081), "more than 4080 words"),
    "a large environment": (
        doc(environment={f"V{i}": "x" * 100000 for i in range(11)}),
        "processes.a: command and environment are larger than 960 KiB"),
    "many replacements": (doc(command="x" + "$(name)" * 300),
                          "too many replacements in one word"),
    "many processes": ({"processes": {f"j{i}": {**J, "instances": 4096}
                                      for i in range(5)}},
                       "processes.j3: instances: more than 16382 processes"),
}

# What is read all the same at a start, with a warning, and refused by -n.
WARNINGS = {
    "one log file of two": (
        {"processes": {"a": {**J, "redirect-output": "log"},
                       "b": {**J, "stdout": {"file": "log",
                                             "append": True}}}},
        "processes.b: its output file is also that of a, and is emptied at "
        "each start without append"),
    "one log file of all instances": (
        doc(redirect_output="log", instances=2),
        "processes.a: its output file is that of all its 2 instances, and is "
        "emptied at each start without append"),
    "one error file of all instances": (
        doc(stderr={"file": "log"}, instances=3), "of all its 3 instances"),
    **{f"{word} in a path": (
        doc(**keys), f"processes.a.{where}: replacements are made in commands "
        "and environments only")
       for word in ("$(name)", "$(instance)") for where, keys in (
           ("redirect-output", {"redirect_output": f"{word}.log"}),
           ("stderr.file", {"stderr": {"file": f"{word}.log"}}))},
    "after one that is never over": (
        {"processes": {"a": {**J, "restart": "always",
                             "start-limit": {"count": 2}, "after": []},
                       "b": {**J, "restart": "always", "autostart": False,
                             "after": {"a": "exited"}},
                       "c": {**J, "autostart": False,
                             "after": {"b": "exited"}}}},
        'processes.c.after: b has "restart: always" and is never over'),
    "an unknown key": (doc(restrat="always"), "processes.a.restrat: unknown "
                       'key (did you mean "restart"?)'),
    "in options": ({"processes": {"a": {**J, "options": {"sehll": 1}}}},
                   'processes.a.options.sehll: unknown key (did you mean '
                   '"shell"?)'),
    "at the top": (top(graceful_tiem=1),
                   'graceful-tiem: unknown key (did you mean '
                   '"graceful-time"?)'),
    "a port for nobody": (top(http={"port": 5001}), "http.port: has no "
                          'effect: there is no "enabled: true" beside it'),
    "in http": (top(http={"prot": 1}), 'http.prot: unknown key (did you mean '
                '"port"?)'),
    "in verify": (verify(exited=0, timeuot=1), 'verify.timeuot: unknown key '
                  '(did you mean "timeout"?)'),
    "in verifier": (doc(verifier={"type": "pymutils.ExitedVerifier",
                                  "argument": {}}),
                    'verifier.argument: unknown key (did you mean '
                    '"arguments"?)'),
    "in arguments": (doc(verifier={"type": "pymutils.ExitedVerifier",
                                   "arguments": {"expected_code": 0}}),
                     'verifier.arguments.expected_code: unknown key (did you '
                     'mean "expect-code"?)'),
    "in modules": (top(modules={"m": {"verifier": [], "verifiers": []}}),
                   'modules.m.verifier: unknown key (did you mean '
                   '"verifiers"?)'),
    "in stop": (doc(stop={"signal": "TERM", "wiat": 1}),
                'stop.wiat: unknown key (did you mean "wait"?)'),
    "in stdout": (doc(stdout={"file": "x", "apend": True}),
                  'stdout.apend: unknown key (did you mean "append"?)'),
    "in backoff": (doc(backoff={"inital": 1}),
                   'backoff.inital: unknown key (did you mean "initial"?)'),
    "like nothing": (doc(zzz=1), "processes.a.zzz: unknown key"),
    **{f"of another tool: {theirs}": (
        doc(**{theirs: 1}), f'processes.a.{theirs}: unknown key (did you mean '
        f'"{ours}"?)') for theirs, ours in {
            "autorestart": "restart", "env": "environment",
            "cwd": "working-directory", "numprocs": "instances",
            "depends-on": "after", "healthcheck": "verify",
            "stopsignal": "stop", "uid": "user", "ExecStart": "command",
            "script": "command", "max-restarts": "start-limit",
            "startretries": "start-limit", "startsecs": "backoff",
            "stopwaitsecs": "graceful-time", "priority": "after",
            "redirect-stderr": "stderr", "availability": "restart",
            "exitcodes": "success-codes"}.items()},
    "services": ({"services": {}, "processes": {}},
                 'services: unknown key (did you mean "processes"?)'),
    "truth": (top(keep_alive=[]), "keep-alive: want true or false, got list"),
    "message": (top(messages=["process.exits"]),
                "messages[0]: unknown message: process.exit, verifier.fail "
                "and verifier.verbose are known"),
    "module": (top(modules={"m": {}}), "modules.m: module m does not contain "
               "a list of verifiers to load."),
    "class": (top(modules={"m": {"verifiers": [1]}}),
              "modules.m.verifiers[0]: want the name of a class"),
    **{f"{key} of an end": (
        verify(**{"exited": 0, key: 1}), f"verify.{key}: without effect: an "
        "end is waited for, there are no attempts")
       for key in ("interval", "attempt-timeout")},
    "attempt-timeout of a file": (
        doc(command="sleep 0.3",
            verify={"file": "/etc/passwd", "attempt-timeout": 1}),
        "verify.attempt-timeout: without effect: a look at a file takes no "
        "time"),
    "append alone": (doc(append=True), "append: without effect: there is no "
                     "redirect_output"),
    "both spellings": (top(graceful_time=1) | {"graceful_time": 2},
                       "graceful-time: given twice, with - and with _: the "
                       "one with _ counts"),
    **{f"graceful_time {value!r}": (
        top(graceful_time=value), "graceful-time: invalid graceful_time "
        f"'{shown}', must be a positive number.")
       for value, shown in ((-1, "-1"), ("soon", "soon"), (None, "null"),
                            ([], "list"), ("1__0", "1__0"), (True, "true"),
                            (False, "false"))},
    # What pymanager takes, though it is hardly meant.
    **{f"graceful_time {value!r}": (
        top(graceful_time=value), "graceful-time: want a duration of 0 to 31 "
        f"days, got {shown}: {seconds} s")
       for value, shown, seconds in (
           (" 3 ", " 3 ", 3), ("1_0", "1_0", 10),
           (10000000, "10000000", 2678400),
           (1e9, "1000000000.0", 2678400), (-0.5, "-0.5", 0))},
    **{f"default_shell {value!r}": (
        top(default_shell=value), "default-shell: want true or false or a "
        f"string, got {shown}")
       for value, shown in ((None, "null"), (1, "integer 1"))},
    "shell": (doc(shell=1), "shell: want true or false or a string, got "
              "integer 1"),
    "suppress-output": (doc(suppress_output=None), "suppress-output: want "
                        "true or false, got null"),
    "no working-directory": (doc(working_directory=None),
                             "working-directory: want a string, got null"),
    "no arguments": ({"processes": {"a": {"executable": "true",
                                          "arguments": ""}}},
                     'arguments: want a list of strings, got string ""'),
    "one letter": ({"processes": {"a": {"executable": "true",
                                        "arguments": "y"}}},
                   'arguments: want a list of strings, got string "y"'),
    "port that is not used": (
        top(http={"port": "none", "enabled": False}),
        'http.port: want a number 0-65535, got string "none"'),
    "port of blanks": (top(http={"port": " 80 "}), "http.port: want a number "
                       '0-65535, got string " 80 "'),
    "port with a fraction": (top(http={"port": 80.0}), "http.port: want a "
                             "number 0-65535, got 80.0"),
    "no timeout": (doc(verifier={"type": "pymutils.ExitedVerifier",
                                 "arguments": {"timeout": None}}),
                   "arguments.timeout: want a duration"),
    "a long timeout": (doc(verifier={"type": "pymutils.ExitedVerifier",
                                     "arguments": {"timeout": 1e9}}),
                       "timeout: want a duration of 0 to 31 days, got "
                       "1000000000.0: no limit"),
    "no headers": (doc(autostart=False, verifier={
        "type": "pymutils.HttpOkVerifier", "arguments": {
            "url": "http://localhost", "headers": None}}),
                   "arguments.headers: want a mapping, got null"),
}

# Not YAML, not JSON: (file, bytes, line:column and text)
SYNTAX = {
    "empty": ("a.json", b"", ": the file is empty"),
    "empty YAML": ("a.yaml", b"# nothing\n", ": the file is empty"),
    "a list": ("a.json", b"[]", ":1:1: want a mapping, got list"),
    "a word": ("a.yaml", b"processes", ":1:1: want a mapping, got string"),
    "comma": ("a.json", b'{"processes": {},}', ":1:18: no comma may stand "
              "before '}'"),
    "comment": ("a.json", b'{ # x\n}', ":1:3: expected a key in double "
                "quotes; JSON has no comments"),
    "cut": ("a.json", b'{"processes": {', ":1:16: unexpected end of file"),
    "tab": ("a.yaml", b"processes:\n\ta: 1\n", ":2:1: found character that "
            "cannot start any token, while scanning for the next token; "
            "indent with blanks, not with tabs"),
    "indentation": ("a.yaml", b"processes:\n  a: 1\n b: 2\n", ":3:2: did not "
                    "find expected key, while parsing a block mapping that "
                    "starts on line 1; is the indentation right?"),
    "no colon": ("a.yaml", b"processes:\n  a\n    command: x\n",
                 ":3:12: mapping values are not allowed in this context; a "
                 "colon is missing before, or the indentation is wrong"),
    "INI": ("a.yaml", b"[program:web]\ncommand=x\n", ":2:1: did not find "
            "expected <document start>; sections in brackets are not YAML"),
    "two documents": ("a.yaml", b"processes: {}\n---\nprocesses: {}\n",
                      ":2:1: a second document starts here"),
    "duplicate": ("a.yaml", b"processes: {}\nprocesses: {}\n",
                  ':2:1: duplicate key "processes", first on line 1'),
    "alias": ("a.yaml", b"processes: *x\n", ":1:12: alias *x: there is no"),
    "NUL": ("a.json", b'{"processes":\0{}}', ":1:14: NUL byte"),
    "NUL, YAML": ("a.yaml", b"processes: {}\n\0", ":2:1: NUL byte"),
    "NUL escaped": ("a.json", b'{"a\\u0000": 1}', ":1:10: NUL (\\u0000) "
                    "cannot be in a string"),
    "NUL escaped, YAML": ("a.yaml", b'a: "\\0"', ":1:4: NUL (\\0) cannot be"),
    "Latin-1": ("a.json", b'{"processes": "\xe9"}', ":1:16: invalid UTF-8 "
                "(byte 0xe9)"),
    "Latin-1, YAML": ("a.yaml", b"processes:\n  \xfc: 1", ":2:3: invalid"),
    "UTF-16": ("a.json", '{"processes": {}}'.encode("utf-16"),
               ":1:1: the file is UTF-16, it must be UTF-8"),
    "half an emoji": ("a.json", b'{"\\ud83d": 1}', ":1:9: invalid Unicode"),
    "number": ("a.json", b'{"a": 01}', ":1:7: invalid number: 01"),
    "single quotes": ("a.json", b"{'a': 1}", ":1:2: expected a key in double "
                      "quotes"),
    "Procfile": ("Procfile", b"web: x\nworker\n", ":2:1: want NAME: COMMAND"),
    "Procfile, twice": ("Procfile", b"web: x\nweb: y\n", ":2:1: duplicate"),
    "Procfile, Latin-1": ("Procfile", b"web: x\nw: \xe9\n", ":2:1: invalid UTF-8"),
}


def write(document):
    """The text of a document of the tables above."""
    if isinstance(document, dict):
        return json.dumps(document)
    return document
