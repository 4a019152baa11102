#!/usr/bin/env python3
"""Runs one of pymanager's custom verifier classes, unchanged.

    verify-adapter PID MODULE CLASS ARGUMENTS MESSAGES COMMAND

Started by musterd as the user of the process that is to be verified, in
musterd's own directory.  ARGUMENTS is a JSON object, MESSAGES a number:
1 process.exit, 2 verifier.fail, 4 verifier.verbose.  Descriptor 3 is the
writing end of the process's standard input, on descriptor 4 its wait status
(four bytes) arrives when it has ended.

Exit status: 0 verified, 1 not verified, 2 the class cannot be used.
"""
import importlib
import importlib.util
import inspect
import json
import os
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

    def __init__(self, pid, command, messages):
        self._pid = pid
        self._code = None
        self._told = not messages & EXIT
        self.cmdString = command
        self.commandLine = command

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
            raise subprocess.TimeoutExpired(self.cmdString, timeout)
        return code

    def code(self, blocking=True, timeout=None):
        """The exit code; None when it is not known in time."""
        return self._look(timeout if blocking else 0)

    def pid(self):
        """Its process id."""
        if self.poll() is not None:
            raise TerminatedException(
                "Process is not running.\nCommand line for process: %s\n"
                "Exit code: %s" % (self.cmdString, self._code))
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


def provide_modules(messages):
    """pymanager's own modules, where the original is not installed."""
    verifier = make_verifier(messages)
    storage = type("Globals", (), {
        "shutdown": False, "default_shell": True,
        "messages": [name for bit, name in (
            (EXIT, "process.exit"), (FAIL, "verifier.fail"),
            (VERBOSE, "verifier.verbose")) if messages & bit]})
    for package in ("pymutils", "utils", ""):
        prefix = package + "." if package else ""
        parent = types.ModuleType(package or "verifier")
        parent.__path__ = []
        parts = {"verifier": {"Verifier": verifier},
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


def main():
    """See the text of this module."""
    pid, module, name, arguments, messages, command = sys.argv[1:7]
    messages = int(messages)
    sys.path.insert(0, os.getcwd())
    base = provide_modules(messages)
    original_messages(messages)
    found = find_class(module, name, base)
    if found is None:
        print("[ERROR] Missing verifier %s.%s" % (module, name), flush=True)
        return 2
    process = Process(int(pid), command, messages)
    try:
        passed = found(**json.loads(arguments)).run(process)
    except (Exception, SystemExit):  # whatever it raises: it has failed
        print("[ERROR] verifier %s.%s: %s" % (
            module, name,
            traceback.format_exc().strip().splitlines()[-1]), flush=True)
        return 1
    return 0 if passed else 1


if __name__ == "__main__":
    time.tzset()
    sys.exit(main())
