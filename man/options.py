#!/usr/bin/env python3
"""options.py BUILD: every option and command that a program's --help tells is in its manual, and every option in the manual is told by --help.
Exit status 77: a program is not built."""
import os
import re
import subprocess
import sys

PAGES = {"mta": ("mta.8", "queue.8"), "mda": ("mda.8",), "imapd": ("imapd.8",), "pop3d": ("pop3d.8",), "mua": ("mua.1",)}
FOLDER = os.path.dirname(os.path.abspath(__file__))


def helps(command):
    """(the words of a command, what its --help says), for the program and the commands below it."""
    text = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
    yield command[1:], text
    for name in re.findall(r"(?m)^  ([a-z][\w-]*)\s", text.partition("Subcommands:")[2]):
        yield from helps([*command, name])


def differences(program, path):
    page = ""
    for name in PAGES[program]:
        with open(os.path.join(FOLDER, name)) as f:
            page += f.read()
    written = {option.lstrip("-") for option in re.findall(r"(?:\bFl (?:Fl )?|, (?=-))([\w-]+)", page)}
    told = {"h", "help"}
    for words, text in helps([path]):
        for word in words:
            if not re.search(rf"\b{word}\b", page):
                yield f"the manual lacks the command {' '.join(words)}"
        for options in re.findall(r"(?m)^  (-\S+)", text):
            for option in options.split(","):
                told.add(option.lstrip("-"))
                if option.lstrip("-") not in written | {"h", "help"}:
                    yield f"the manual lacks {' '.join(words)} {option}"
    for option in sorted(written - told):
        yield f"--help does not know the option {option} of the manual"


failed = False
for program in PAGES:
    path = os.path.join(sys.argv[1], program, program)
    if not os.access(path, os.X_OK):
        print(f"man_options: SKIPPED: {path} is not built")
        sys.exit(77)
    for difference in differences(program, path):
        print(f"man_options: {program}: {difference}")
        failed = True
sys.exit(1 if failed else 0)
