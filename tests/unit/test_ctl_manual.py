#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""clusterctl(8), its --help and its completion say what the tables say. --write: write the manual's tables anew."""
import os
import re
import subprocess
import sys

TOP = os.environ.get("top_srcdir") or os.path.join(os.path.dirname(__file__), "../..")
BUILD = os.environ.get("top_builddir", TOP)
MANUAL = os.path.join(TOP, "clusterd/ctl/clusterctl.8")
CTL = os.path.join(BUILD, "clusterd/ctl/clusterctl")
STRING = r'"((?:[^"\\]|\\.)*)"'


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


def rows(path, macro):
    """Arguments of each macro row: strings without their quotes."""
    for line in read(path).splitlines():
        match = re.match(macro + r"\((.*)\)$", line)
        if match:
            yield [a if s is None or s == "" and not q else s for q, s, a in
                   ((m.group(0).startswith('"'), m.group(1), m.group(2)) for m in re.finditer(STRING + r"|([^,\s][^,]*)", match.group(1)))]


def escaped(text):
    text = text.replace("\\", "\\e").replace("--", "\\-\\-")
    return "\\&" + text if text[:1] in ".'" else text


def item(head, text):
    return f".It Li \"{escaped(head)}\"\n{escaped(text)}\n"


def commands():
    out = ".Bl -tag -width Ds\n"
    for noun, verb, args, *_, help_text in rows("clusterd/ctl/commands.def", "COMMAND"):
        if noun != "complete":
            out += item(" ".join(w for w in (noun, verb, args) if w), help_text)
    return out + ".El\n"


def option_rows():
    flags = [(r, None) for r in rows("clusterd/ctl/ctl_options.def", "CTL_FLAG")]
    values = [(r, r[4]) for r in rows("clusterd/ctl/ctl_options.def", "CTL_VALUE")]
    for row, arg in sorted(flags + values, key=lambda r: r[0][1]):
        letter = row[2].strip("'") if row[2] != "0" else ""
        yield row[1], letter, row[3] == "1", arg, row[-1]


def options():
    out = ""
    for is_global, title in ((True, "Every command takes:"), (False, "Some commands take:")):
        out += f"{title}\n.Bl -tag -width Ds\n"
        for name, letter, of_all, arg, text in option_rows():
            if of_all == is_global:
                head = (f"-{letter}, " if letter else "") + f"--{name}" + (f" {arg}" if arg else "")
                out += item(head, text)
        out += ".El\n"
    return out


def fields():
    return [r for r in rows("proto/objects.def", "FIELD")]


def field_name(row):
    return re.sub(r"_ms$", "", row[3])


def fields_text():
    out = ""
    for kind in dict.fromkeys(r[0] for r in fields()):
        settable = [r for r in fields() if r[0] == kind and r[4] == "C"]
        if settable:
            out += f".Ss {kind}\n.Bl -tag -width Ds\n" + "".join(item(field_name(r), r[-1]) for r in settable) + ".El\n"
    return out


def json_text():
    out = ""
    for kind in dict.fromkeys(r[0] for r in fields()):
        out += f".Ss Members of {kind}\n.Bl -tag -width Ds\n"
        out += "".join(item(f"{r[3]} ({r[2].lower()}, {r[4]})", r[-1]) for r in fields() if r[0] == kind) + ".El\n"
    return out


def exit_rows():
    """Code to meanings: several refusals may share one."""
    codes = {}
    for code, _, meaning in rows("clusterd/ctl/exits.def", "CTL_EXIT"):
        codes.setdefault(int(code), []).append(meaning)
    for _, symbol, name, code, text in rows("proto/refusals.def", "REFUSAL"):
        if symbol != "REFUSED_NOT":
            codes.setdefault(int(code), []).append(f"{name}: {text}")
    return sorted(codes.items())


def exits():
    return ".Bl -tag -width Ds\n" + "".join(item(str(c), "; ".join(t)) for c, t in exit_rows()) + ".El\n"


SECTIONS = {"commands": commands, "options": options, "fields": fields_text, "json": json_text, "exits": exits}


def manual_wanted():
    text = read(MANUAL)
    for name, make in SECTIONS.items():
        begin, end = f'.\\" begin {name}\n', f'.\\" end {name}\n'
        head, rest = text.split(begin)
        text = head + begin + make() + end + rest.split(end)[1]
    return text


def run(*words):
    return subprocess.run([CTL, *words], capture_output=True, text=True, check=False, timeout=60)


def check_help(errors):
    overview = run("help").stdout
    for noun, verb, args, *_, help_text in rows("clusterd/ctl/commands.def", "COMMAND"):
        words = [w for w in (noun, verb) if w]
        if noun == "complete":
            continue
        for got in (run(*words, "--help"), run("help", *words)):
            if got.returncode or help_text not in got.stdout or f"usage: clusterctl {' '.join(words)}" not in got.stdout:
                errors.append(f"{' '.join(words)}: its help does not explain it")
        if help_text not in overview:
            errors.append(f"{' '.join(words)}: not in the overview")
        offered = run("complete", *words[:-1], words[-1]).stdout.split()
        if words[-1] not in offered:
            errors.append(f"{' '.join(words)}: completion does not offer it")


def check_usage(errors):
    for words, code in ((["nonsense"], 1), (["role", "strat", "x"], 1), ([], 1), (["--help"], 0), (["role"], 1), (["role", "--help"], 0),
                        (["status", "--nonsense"], 1), (["status", "--follow"], 1), (["role", "show"], 1), (["why", "a", "b"], 1),
                        (["status", "--timeout"], 1), (["status", "--timeout", "soon"], 1), (["version", "--quiet=1"], 1),
                        (["status", "--socket", "no-such-daemon-here"], 2), (["config", "check", "/nonexistent"], 15),
                        (["status", "--state", "/dev/null"], 6)):
        got = run(*words)
        if got.returncode != code:
            errors.append(f"clusterctl {' '.join(words)}: exit code {got.returncode}, not {code}")
        if code and not got.stderr:
            errors.append(f"clusterctl {' '.join(words)}: fails without a word")
    for words, near in ((["role", "strat", "x"], "role start"), (["sttaus"], "status"), (["status", "--jsno"], "--json")):
        if near not in run(*words).stderr:
            errors.append(f"clusterctl {' '.join(words)}: does not suggest {near}")


def main():
    if "--write" in sys.argv:
        text = manual_wanted()
        with open(MANUAL, "w", encoding="utf-8") as f:
            f.write(text)
        return 0
    errors = []
    if manual_wanted() != read(MANUAL):
        errors.append("clusterctl.8 differs from the tables: tests/unit/test_ctl_manual.py --write")
    check_help(errors)
    check_usage(errors)
    for e in errors:
        print(f"FAIL: {e}", file=sys.stderr)
    if errors:
        print("repeat with: make check TESTS=tests/unit/test_ctl_manual.py", file=sys.stderr)
    return 1 if errors else 0


sys.exit(main())
