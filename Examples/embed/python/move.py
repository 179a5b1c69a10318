#!/usr/bin/env python3
"""Runs a migration by libferry: move.py LIBFERRY MANIFEST [NAME=VALUE]...

Tells each phase as it begins; the exit code is that of `ferry run`. The manifest goes from memory, like one that a program has made.
"""
import ctypes
import json
import os
import sys


class Error(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("status", ctypes.c_int32), ("exit_code", ctypes.c_int32), ("reserved", ctypes.c_uint32),
                ("class_name", ctypes.c_char_p), ("code", ctypes.c_char_p), ("message", ctypes.c_char_p), ("hint", ctypes.c_char_p),
                ("json", ctypes.c_char_p)]


class FerryFailed(Exception):
    def __init__(self, line):
        super().__init__(line["error"]["message"])
        self.line = line


def call(function, *arguments, kind=ctypes.c_void_p):
    """Calls a function that hands out one value and, at its end, an error."""
    value, error = kind(), ctypes.POINTER(Error)()
    if function(*arguments, ctypes.byref(value), ctypes.byref(error)) != 0:
        line = json.loads(error.contents.json)
        ferry.ferry_error_free(error)
        raise FerryFailed(line)
    return value


def move(path, parameters):
    engine, manifest, session = call(ferry.ferry_engine_open, None), None, None
    try:
        text = open(path, "rb").read()
        given = (ctypes.c_char_p * (len(parameters) + 1))(*[parameter.encode() for parameter in parameters], None)
        manifest = call(ferry.ferry_manifest_parse, engine, text, ctypes.c_uint64(len(text)), path.encode(),
                        os.path.dirname(os.path.abspath(path)).encode(), given)
        session = call(ferry.ferry_session_run, engine, manifest, None)
        while line := ferry.ferry_session_next(session, -1):
            event = json.loads(line)
            if event["kind"] in ("phase-began", "result"):
                print(event["kind"], event.get("phase") or event.get("status"), flush=True)
        return call(ferry.ferry_session_result, session, kind=ctypes.c_int32).value
    finally:
        ferry.ferry_session_close(session)
        ferry.ferry_manifest_close(manifest)
        ferry.ferry_engine_close(engine)


ferry = ctypes.CDLL(sys.argv[1])
ferry.ferry_session_next.restype = ctypes.c_char_p
try:
    sys.exit(move(sys.argv[2], sys.argv[3:]))
except FerryFailed as failure:
    for diagnostic in failure.line.get("diagnostics", []):
        print(f"{diagnostic['file']}:{diagnostic['line']}:{diagnostic['column']}: {diagnostic['message']}", file=sys.stderr)
    print(failure, file=sys.stderr)
    sys.exit(failure.line["exit"])
