#!/usr/bin/env python3
"""Runs one of pymanager's custom verifier classes, unchanged.

    verify-adapter PID MODULE CLASS ARGUMENTS MESSAGES COMMAND [ARGUMENT ...]

Started by musterd as the user of the process that is to be verified, in
musterd's own directory.  ARGUMENTS is a JSON object, MESSAGES a number:
1 process.exit, 2 verifier.fail, 4 verifier.verbose.  Descriptor 3 is the
writing end of the process's standard input, on descriptor 4 its wait status
(four bytes) arrives when it has ended.

Exit status: 0 verified, 2 the class cannot be used, 3 it returned False (or
what counts as that), 4 it raised an exception; 1 is Python's own failure.
"""
import base64
import importlib
import importlib.util
import inspect
import json
import os
import re
import select
import signal as signals
import struct
import subprocess
import sys
import time
import traceback
import types

STDIN_FD = 3
STATUS_FD = 4
EXIT, FAIL, VERBOSE = 1, 2, 4


class TerminatedException(Exception):
    """The process has ended, and what was asked needs a living one."""


class Process:
    """What a verifier's run() gets: the methods of pymanager's process."""

    def __init__(self, pid, words):
        self._pid = pid
        self._code = None
        self.cmdString = " ".join(words)
        self.commandLine = words

    def _look(self, timeout):
        """Waits at most so long (None: for ever) for the end."""
        if self._code is not None:
            return self._code
        ready, _, _ = select.select([STATUS_FD], [], [], timeout)
        if not ready:
            return None
        data = os.read(STATUS_FD, 4)
        if len(data) != 4:
            raise OSError("the exit status of the process is not known")
        status = struct.unpack("=i", data)[0]
        self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def poll(self):
        """The exit code, or None while it runs."""
        return self._look(0)

    def wait(self, timeout=None):
        """Waits for the end; the code, or subprocess.TimeoutExpired."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.commandLine, timeout)
        return code

    def code(self, blocking=True, timeout=None):
        """The exit code; None when it is not known in time."""
        return self._look(timeout if blocking else 0)

    def pid(self):
        """Its process id."""
        if self.poll() is not None:
            raise TerminatedException(
                "Process is not running.\nCommand line for process: %s\n"
                "Exit code: %s" % (self.commandLine, self._code))
        return self._pid

    def write(self, data):
        """Writes bytes to its standard input."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(STDIN_FD, view):]
            except BlockingIOError:
                select.select([], [STDIN_FD], [])

    def signal(self, number):
        """Sends it a signal."""
        os.kill(self.pid(), number)

    def terminate(self):
        """SIGTERM, if it still runs."""
        if self.poll() is None:
            os.kill(self._pid, signals.SIGTERM)

    def kill(self):
        """SIGKILL, if it still runs."""
        if self.poll() is None:
            os.kill(self._pid, signals.SIGKILL)

    def force_terminate(self, timeout=10):
        """SIGTERM, and SIGKILL when it has not ended in time."""
        self.terminate()
        try:
            self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def status_string(self):
        """"running" or "terminated"."""
        return "running" if self.poll() is None else "terminated"


def make_verifier(messages):
    """The base class that custom verifiers inherit from."""

    class Verifier:
        """Base of all verifiers."""

        def run(self, proc):
            """Is the process up?"""
            return proc is not None

        def log_fail(self, message):
            """Told with verifier.fail and verifier.verbose."""
            if messages & (FAIL | VERBOSE):
                print("Verifier fail: %s" % (message,), flush=True)

        def log_verbose(self, message):
            """Told with verifier.verbose."""
            if messages & VERBOSE:
                print("Verifier: %s" % (message,), flush=True)

    return Verifier


def make_exited(base):
    """pymanager's ExitedVerifier, for classes that inherit from it."""

    class ExitedVerifier(base):
        """Passes if the process ends in time, with the code."""

        def __init__(self, timeout=30, expect_code=0, **_):
            self.timeout = timeout
            self.expect_code = expect_code

        def run(self, proc):
            """Waits for the end."""
            try:
                code = proc.wait(self.timeout)
            except subprocess.TimeoutExpired:
                self.log_fail("Process did not exit in given timeframe %ss"
                              % (self.timeout,))
                return False
            if code != self.expect_code:
                self.log_fail("Expected exit code %s, got %s"
                              % (self.expect_code, code))
            return code == self.expect_code

    return ExitedVerifier


def take_password(url):
    """The URL as it may be shown, without user and password, and the header
    field that requests, which pymanager uses, makes of these."""
    found = re.match(r"([^:/?#]+:/+)([^/?#]*)@(.*)", url, re.S)
    if found is None:
        return url, url, {}
    parse = importlib.import_module("urllib.parse")
    user, colon, password = found[2].partition(":")
    login = parse.unquote(user) + ":" + parse.unquote(password)
    return (found[1] + user + (":***" if colon else "") + "@" + found[3],
            found[1] + found[3], {"Authorization": "Basic " + base64.b64encode(
                login.encode()).decode()})


def make_http(base):
    """pymanager's HttpOkVerifier, for classes that inherit from it."""

    class HttpOkVerifier(base):
        """Passes if a URL answers with 2xx."""

        def __init__(self, url="", timeout=30, interval=1, headers=None, **_):
            self.url = url
            self.timeout = timeout
            self.interval = interval
            self.headers = headers or {}

        def _attempt(self):
            error = importlib.import_module("urllib.error")
            request = importlib.import_module("urllib.request")
            shown, url, login = take_password(self.url)
            self.log_verbose("Attempting connection to %s with a timeout of "
                             "%ss" % (shown, self.interval))
            asked = request.Request(url, headers=self.headers)
            # Not to whom a redirect leads.
            for name, value in login.items():
                if not asked.has_header(name):
                    asked.add_unredirected_header(name, value)
            try:
                with request.urlopen(asked, timeout=self.interval) as answer:
                    status = answer.status
            except error.HTTPError as answer:
                status = answer.code
                answer.close()
            except OSError as why:
                self.log_fail("Connection error: %s" % (why,))
                return False
            if not 200 <= status < 300:
                self.log_fail("Got status %d from server." % status)
            return 200 <= status < 300

        def run(self, proc):
            """Asks, each time `interval` after the last, until `timeout`."""
            begin = time.monotonic()
            end = begin + self.timeout
            while begin < end:
                if self._attempt():
                    return True
                begin += self.interval
                time.sleep(max(0, min(begin, end) - time.monotonic()))
                begin = max(begin, time.monotonic())
            return False

    return HttpOkVerifier


def provide_modules(messages):
    """pymanager's own modules, where the original is not installed."""
    verifier = make_verifier(messages)
    exited = make_exited(verifier)
    http = make_http(verifier)
    storage = type("Globals", (), {
        "shutdown": False, "default_shell": True, "keep_alive": False,
        "status": "launching processes", "verbose": 0,
        "messages": [name for bit, name in (
            (EXIT, "process.exit"), (FAIL, "verifier.fail"),
            (VERBOSE, "verifier.verbose")) if messages & bit]})
    for package in ("pymutils", "utils", ""):
        prefix = package + "." if package else ""
        parent = types.ModuleType(package or "verifier")
        parent.__path__ = []
        parts = {"verifier": {"Verifier": verifier},
                 "exited_verifier": {"ExitedVerifier": exited},
                 "http_verifier": {"HttpOkVerifier": http},
                 "debug": {"debug": lambda message: None,
                           "verbose": lambda message: None,
                           "log": lambda message: print(message, flush=True)},
                 "global_storage": {"Globals": storage}}
        for name, members in parts.items():
            full = prefix + name
            if importlib.util.find_spec(full.partition(".")[0]) is not None:
                continue
            module = types.ModuleType(full)
            module.__dict__.update(members)
            sys.modules[full] = module
            setattr(parent, name, module)
        if package and importlib.util.find_spec(package) is None:
            parent.Verifier = verifier
            parent.ExitedVerifier = exited
            parent.HttpOkVerifier = http
            sys.modules[package] = parent
    try:
        return importlib.import_module("pymutils.verifier").Verifier
    except ImportError:
        return verifier


def original_messages(messages):
    """Tells the original's modules, where they are used, what to print."""
    try:
        storage = importlib.import_module("pymutils.global_storage").Globals
    except ImportError:
        return
    storage.messages = [name for bit, name in (
        (EXIT, "process.exit"), (FAIL, "verifier.fail"),
        (VERBOSE, "verifier.verbose")) if messages & bit]


def find_class(module_name, class_name, base):
    """The class, looked up as pymanager does: in the top-level package."""
    try:
        top = __import__(module_name)
    except ImportError as error:
        print("[WARNING] module %s not found. (%s)" % (module_name, error))
        return None
    if not hasattr(top, class_name):
        top = sys.modules.get(module_name, top)
    if not hasattr(top, class_name):
        print("[WARNING] missing verifier '%s' from module %s"
              % (class_name, module_name))
        return None
    found = getattr(top, class_name)
    if not inspect.isclass(found):
        print("[WARNING] object '%s' from module %s is not a class"
              % (class_name, module_name))
        return None
    if not issubclass(found, base):
        print("[WARNING] object '%s' from module %s is not a subclass of "
              "Verifier" % (class_name, module_name))
        return None
    return found


def told(error):
    """Type and text of an exception: one line, in which nothing is hidden."""
    lines = "".join(traceback.format_exception_only(type(error), error))
    text = " ".join(line.strip(" ") for line in lines.strip().split("\n"))
    return "".join(c if c.isprintable() else
                   c.encode("unicode_escape").decode() for c in text)


def main():
    """See the text of this module."""
    pid, module, name, arguments, messages = sys.argv[1:6]
    messages = int(messages)
    sys.path.insert(0, os.getcwd())
    base = provide_modules(messages)
    original_messages(messages)
    found = find_class(module, name, base)
    if found is None:
        print("[ERROR] Missing verifier %s.%s" % (module, name), flush=True)
        return 2
    process = Process(int(pid), sys.argv[6:])
    try:
        passed = found(**json.loads(arguments)).run(process)
    except (Exception, SystemExit) as error:  # whatever: it has failed
        print("[ERROR] verifier %s.%s: %s" % (module, name, told(error)),
              flush=True)
        return 4
    return 0 if passed else 3


if __name__ == "__main__":
    time.tzset()
    sys.exit(main())
