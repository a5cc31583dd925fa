"""Makes before/after report pairs with known truth: scans a tree, edits it while following each line's origin, scans again.

    python bench/make_pairs.py --tool bandit --source DIR --out bench/pairs --name moto --seed 1 --files 40

The tools are not dependencies of the product: they are looked up in PATH (`--path` adds folders). Kinds of edits:
insert (blocks of comments), rename_elsewhere (identifiers on other lines), edit_line (an identifier on the flagged line),
move (two of three files moved or renamed), fixnew (a quarter fixed, new ones added), dup_below, dup_above (the flagged statement
copied), del_first (the first of several results of a rule removed), reformat (a formatter), mixed, reword (insert, and the tool
words its messages differently).
"""

import argparse
import ast
import gzip
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

HERE = Path(__file__).parent
KINDS = (
    "insert", "rename_elsewhere", "edit_line", "move", "fixnew", "dup_below", "dup_above", "del_first", "reformat", "mixed", "reword",
)  # fmt: skip
Origin = tuple[str, int] | None


@dataclass(slots=True)
class Line:
    text: str
    origin: Origin


@dataclass(slots=True)
class Language:
    """How to edit one language: its comment mark, lines before which a comment is safe, new flagged code, formatter."""

    suffixes: tuple[str, ...]
    comment: str
    safe_before: re.Pattern[str]
    added: str
    formatter: tuple[str, ...] = ()


PYTHON = Language(
    (".py",),
    "#",
    re.compile(r"\s*(?:return\b|def |class |import |from \S+ import|assert |raise |\w+(?:\.\w+)* = )"),
    "\n\nimport subprocess\ndef added_{n}(cmd_{n}, unused_{n}=None):\n    subprocess.call('echo {n} ' + cmd_{n}, shell=True)\n"
    "    value_{n} = eval(cmd_{n})\n    assert cmd_{n} == None\n",
    ("ruff", "format", "--isolated", "--quiet", "."),
)
JAVASCRIPT = Language(
    (".js",),
    "//",
    re.compile(r"\s*(?:var |let |const |function |return\b|if \()"),
    "\nfunction added_{n}(cmd_{n}) {{\n    var unused_{n} = 1;\n    if (cmd_{n} == null) {{\n        eval(cmd_{n});\n    }}\n}}\n",
    ("biome", "format", "--write", "--files-max-size=10000000", "."),
)
WORKFLOW = Language(
    (".yml", ".yaml"),
    "#",
    re.compile(r"\s*- (?:name|uses|run|id):"),
    "\n  added_{n}:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: someone/action-{n}@v{n}\n"
    "      - run: echo ${{{{ github.event.issue.title }}}} {n}\n",
)
TERRAFORM = Language(
    (".tf",),
    "#",
    re.compile(r"(?:resource|data|module|variable) "),
    '\nresource "aws_s3_bucket" "added_{n}" {{\n  bucket = "added-{n}"\n  acl    = "public-read"\n}}\n',
)


@dataclass(slots=True)
class Tool:
    language: Language
    command: Callable[[Path], list[str]]
    below: str = ""
    environment: dict[str, str] = field(default_factory=dict)


def node_modules() -> Path:
    """The folder that holds eslint, its plugins and its SARIF formatter."""
    return Path(shutil.which("eslint") or "eslint").resolve().parents[2]


ESLINT_CONFIG = {
    "root": True,
    "env": {"browser": True, "node": True, "es2022": True},
    "parserOptions": {"ecmaVersion": 2022, "sourceType": "module"},
    "plugins": ["security"],
    "extends": ["eslint:recommended", "plugin:security/recommended-legacy"],
    "rules": {"eqeqeq": "warn", "no-var": "warn", "no-eval": "error", "complexity": ["warn", 12]},
}
TOOLS = {
    "bandit": Tool(PYTHON, lambda out: ["bandit", "-q", "-r", ".", "-f", "sarif", "-o", str(out)]),
    "ruff": Tool(
        PYTHON,
        lambda out: ["ruff", "check", "--isolated", "--select", "E7,F,B,S,UP,SIM,C4,RET", "--ignore", "S101", "--exit-zero", "--no-cache",
                     "--output-format", "sarif", "--output-file", str(out), "."],
    ),
    "semgrep": Tool(
        PYTHON,
        lambda out: ["semgrep", "scan", "--metrics=off", "--disable-version-check", "--no-git-ignore", "-j", "1", "--quiet",
                     "--config", str(HERE / "semgrep_rules.yml"), "--sarif", "--output", str(out), "."],
    ),
    "eslint": Tool(JAVASCRIPT, lambda out: ["eslint", "--no-ignore", "--no-eslintrc", "--config", "../eslintrc.json",
                                            "--resolve-plugins-relative-to", str(node_modules().parent), "--format",
                                            str(node_modules() / "@microsoft/eslint-formatter-sarif/sarif.js"),
                                            "--output-file", str(out), "."]),
    "biome": Tool(JAVASCRIPT, lambda out: ["biome", "lint", "--max-diagnostics=none", "--reporter=sarif",
                                           f"--reporter-file={out}", "."]),
    "zizmor": Tool(WORKFLOW, lambda out: ["sh", "-c", f"zizmor --offline --no-exit-codes --persona=auditor --format=sarif . > {out}"],
                   below=".github/workflows"),
    "checkov": Tool(TERRAFORM, lambda out: ["checkov", "-d", ".", "--framework", "terraform", "-o", "sarif", "--output-file-path",
                                            str(out.parent), "--soft-fail", "--quiet", "--compact", "--skip-download"]),
}  # fmt: skip


@dataclass(slots=True)
class Result:
    rule: str
    path: str
    line: int
    column: int
    message: str


class Tree:
    """The files of a checkout as lines that know where they come from."""

    def __init__(self, files: dict[str, list[Line]], language: Language) -> None:
        self.files = files
        self.language = language

    @classmethod
    def read(cls, root: Path, language: Language) -> "Tree":
        files = {}
        for path in sorted(root.rglob("*")):
            if path.is_file() and path.suffix in language.suffixes:
                name = path.relative_to(root).as_posix()
                lines = path.read_text(encoding="utf-8").split("\n")
                files[name] = [Line(text, (name, number)) for number, text in enumerate(lines, 1)]
        return cls(files, language)

    def copy(self) -> "Tree":
        return Tree({name: [Line(x.text, x.origin) for x in lines] for name, lines in self.files.items()}, self.language)

    def write(self, root: Path) -> None:
        for name, lines in self.files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(x.text for x in lines), encoding="utf-8")

    def change(self, name: str, lines: list[Line]) -> bool:
        """Puts new lines in place of a file's if they still parse."""
        if not parses(name, "\n".join(x.text for x in lines)):
            return False
        self.files[name] = lines
        return True


def parses(name: str, text: str) -> bool:
    if name.endswith(".py"):
        try:
            ast.parse(text)
        except (SyntaxError, ValueError):
            return False
    if name.endswith(".js"):
        for mode in ("--module", "--allow-hash-bang"):
            if subprocess.run(["acorn", "--ecma2022", "--silent", mode], input=text.encode(), capture_output=True, check=False).returncode == 0:  # fmt: skip # noqa: E501
                return True
        return False
    if name.endswith(".tf"):
        return text.count("{") == text.count("}")
    return True


def statement(name: str, lines: list[Line], at: int) -> tuple[int, int] | None:
    """First and last index (0-based, inclusive) of the smallest removable statement that covers line index `at`."""
    if name.endswith(".py"):
        return _python_statement(lines, at)
    if name.endswith(".tf"):
        start = next((i for i in range(at, -1, -1) if lines[i].text.startswith(("resource ", "data ", "module "))), None)
        if start is None:
            return None
        end = next((i for i in range(start, len(lines)) if lines[i].text.startswith("}")), None)
        return None if end is None or end < at else (start, end)
    if name.endswith((".yml", ".yaml")):
        return _list_item(lines, at)
    text = lines[at].text.strip()
    if text.endswith(";") and text.count("(") == text.count(")") and text.count("{") == text.count("}"):
        return at, at
    return None


def _python_statement(lines: list[Line], at: int) -> tuple[int, int] | None:
    try:
        module = ast.parse("\n".join(x.text for x in lines))
    except (SyntaxError, ValueError):
        return None
    best: tuple[int, int] | None = None
    for node in ast.walk(module):
        if isinstance(node, ast.stmt) and node.lineno - 1 <= at <= (node.end_lineno or node.lineno) - 1:
            span = (node.lineno - 1, (node.end_lineno or node.lineno) - 1)
            if not hasattr(node, "body") and (best is None or span[1] - span[0] <= best[1] - best[0]):
                best = span
    return best


def _list_item(lines: list[Line], at: int) -> tuple[int, int] | None:
    start = next((i for i in range(at, max(-1, at - 30), -1) if re.match(r"\s*- \w+:", lines[i].text)), None)
    if start is None:
        return None
    indent = len(lines[start].text) - len(lines[start].text.lstrip())
    end = start
    for i in range(start + 1, len(lines)):
        text = lines[i].text
        if text.strip() and len(text) - len(text.lstrip()) <= indent:
            break
        if text.strip():
            end = i
    return (start, end) if end >= at else None


# --- edits ------------------------------------------------------------------------------------------------------------------


def indentation(text: str) -> str:
    return text[: len(text) - len(text.lstrip())]


def flagged(results: list[Result]) -> dict[str, list[int]]:
    """0-based flagged line indexes of each file, ascending, each once."""
    lines: dict[str, set[int]] = defaultdict(set)
    for result in results:
        if result.line:
            lines[result.path].add(result.line - 1)
    return {name: sorted(found) for name, found in sorted(lines.items())}


def index_of(lines: list[Line], origin: Origin) -> int | None:
    return next((i for i, line in enumerate(lines) if line.origin == origin), None)


def insert(tree: Tree, results: list[Result], chance: random.Random, *, share: float = 1.0) -> None:
    mark = tree.language.comment
    for name in flagged(results):
        if chance.random() > share or name not in tree.files:
            continue
        lines = tree.files[name]
        safe = [i for i, line in enumerate(lines) if tree.language.safe_before.match(line.text)]
        chance.shuffle(safe)
        used = 0
        for place in sorted(safe[:12], reverse=True):
            if used < 6:
                block = [Line(f"{indentation(lines[place].text)}{mark} inserted line {i}", None) for i in range(10)]
                if tree.change(name, lines[:place] + block + lines[place:]):
                    lines = tree.files[name]
                    used += 1


NAME = re.compile(r"(?<![\w.'\"$])([a-z_][A-Za-z0-9_]{3,})(?![\w(.'\"=])")
KEPT = frozenset(
    """
    False None True assert async await break case catch class const continue default delete elif
    else except export extends false finally from function global import instanceof jobs lambda name
    nonlocal null pass provider raise resource return runs self shell static steps super switch this
    throw true typeof undefined uses variable void while with yield
    """.split()
)


def rename(tree: Tree, name: str, old: str, new: str) -> bool:
    pattern = re.compile(rf"(?<![\w.'\"$-]){re.escape(old)}(?![\w'\"-])")
    return tree.change(name, [Line(pattern.sub(new, x.text), x.origin) for x in tree.files[name]])


def rename_elsewhere(tree: Tree, results: list[Result], chance: random.Random) -> None:
    for name, marked in flagged(results).items():
        lines = tree.files[name]
        taken = {found for i in marked for found in re.findall(r"\w+", lines[i].text)}
        taken |= {found for r in results if r.path == name for found in re.findall(r"\w+", r.message)}
        others = Counter(found for i, line in enumerate(lines) if i not in marked for found in NAME.findall(line.text))
        names = sorted(found for found in others if found not in taken and found not in KEPT)
        chance.shuffle(names)
        for found in names[:4]:
            rename(tree, name, found, f"{found}_other")


def edit_line(tree: Tree, results: list[Result], chance: random.Random, *, share: float = 0.5) -> None:
    for name, marked in flagged(results).items():
        if name not in tree.files:
            continue
        for i in marked:
            if chance.random() > share:
                continue
            lines = tree.files[name]
            at = index_of(lines, (name, i + 1))
            if at is None:
                continue
            if name.endswith(".tf"):
                extra = [Line('  description = "edited"', None), Line("  # edited", None)]
                tree.change(name, lines[: at + 1] + extra + lines[at + 1 :])
            elif name.endswith((".yml", ".yaml")):
                edited = re.sub(r"@v(\d+)", lambda m: f"@v{int(m[1]) + 1}", lines[at].text)
                lines[at].text = edited if edited != lines[at].text else lines[at].text + "  # edited"
            else:
                names = [found for found in NAME.findall(lines[at].text) if found not in KEPT and not found.endswith("_v2")]
                if names:
                    found = chance.choice(names)
                    rename(tree, name, found, f"{found}_v2")


def move(tree: Tree, results: list[Result], chance: random.Random, *, share: float = 0.67) -> dict[str, str]:
    moves = {}
    for name in flagged(results):
        if chance.random() > share:
            continue
        folder, _, base = name.rpartition("/")
        stem, _, suffix = base.rpartition(".")
        if chance.random() < 0.5 and not name.startswith(".github"):
            target = f"moved/{name}"
        else:
            target = f"{folder}/{stem}_renamed.{suffix}".lstrip("/")
        tree.files[target] = tree.files.pop(name)
        moves[name] = target
    return moves


def remove(tree: Tree, name: str, origin: Origin) -> None:
    lines = tree.files[name]
    at = index_of(lines, origin)
    span = None if at is None else statement(name, lines, at)
    if span is None:
        return
    first, last = span
    stand_in = [Line(indentation(lines[first].text) + "pass", None)] if name.endswith(".py") else []
    tree.change(name, lines[:first] + stand_in + lines[last + 1 :])


def add(tree: Tree, name: str, number: int) -> None:
    lines = tree.files[name]
    block = [Line(text, None) for text in tree.language.added.format(n=number).split("\n")]
    tree.change(name, lines + block)


def fixnew(tree: Tree, results: list[Result], chance: random.Random, *, share: float = 0.25) -> None:
    number = 0
    for name, marked in flagged(results).items():
        for i in reversed(marked):
            if chance.random() < share:
                remove(tree, name, (name, i + 1))
        if chance.random() < 0.3:
            number += 1
            add(tree, name, number)


def duplicate(tree: Tree, results: list[Result], chance: random.Random, *, below: bool, share: float = 0.15) -> None:
    for name, marked in flagged(results).items():
        if name not in tree.files:
            continue
        for i in reversed(marked):
            if chance.random() > share:
                continue
            lines = tree.files[name]
            at = index_of(lines, (name, i + 1))
            span = None if at is None else statement(name, lines, at)
            if span is None:
                continue
            first, last = span
            copied = [Line(x.text, None) for x in lines[first : last + 1]]
            if name.endswith(".tf"):
                copied[0].text = re.sub(r'"(\w+)" \{', r'"\1_copy" {', copied[0].text)
                copied.append(Line("", None))
            place = last + 1 if below else first
            tree.change(name, lines[:place] + copied + lines[place:])


def del_first(tree: Tree, results: list[Result], _: random.Random) -> None:
    groups: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        groups[result.path, result.rule].append(result)
    for (name, _rule), found in sorted(groups.items()):
        if len({r.line for r in found}) > 1:
            remove(tree, name, (name, min(r.line for r in found)))


def mixed(tree: Tree, results: list[Result], chance: random.Random) -> dict[str, str]:
    """All at once, but one edit a statement: one that is copied and then deleted leaves no truth that a reader could find."""
    spans = {}
    for result in results:
        lines = tree.files.get(result.path, [])
        found = statement(result.path, lines, result.line - 1) if 0 < result.line <= len(lines) else None
        spans[result.path, result.line] = (result.path, found or (result.line - 1, result.line - 1))
    statements = sorted(set(spans.values()))
    chance.shuffle(statements)
    eighth = len(statements) // 8
    edited, copied, fixed = (
        [r for r in results if spans[r.path, r.line] in part]
        for part in (set(statements[:eighth]), set(statements[eighth : 2 * eighth]), set(statements[2 * eighth : 3 * eighth]))
    )
    insert(tree, results, chance, share=0.5)
    edit_line(tree, edited, chance, share=1)
    duplicate(tree, copied, chance, below=True, share=1)
    fixnew(tree, fixed, chance, share=1)
    return move(tree, results, chance, share=0.3)


EDITS: dict[str, Callable[[Tree, list[Result], random.Random], Any]] = {
    "insert": insert,
    "rename_elsewhere": rename_elsewhere,
    "edit_line": edit_line,
    "move": move,
    "fixnew": fixnew,
    "dup_below": lambda t, r, c: duplicate(t, r, c, below=True),
    "dup_above": lambda t, r, c: duplicate(t, r, c, below=False),
    "del_first": del_first,
    "mixed": mixed,
    "reword": insert,
    "reformat": lambda _t, _r, _c: None,
}

REWORDINGS = (
    (re.compile(r"^Possible "), "Potential "), (re.compile(r"^Use of "), "Found use of "), (re.compile(r"'([^']*)'"), r"`\1`"),
    (re.compile(r"\bdetected\b"), "found"), (re.compile(r"\bEnsure\b"), "Make sure"), (re.compile(r"\bUnexpected\b"), "Did not expect"),
    (re.compile(r"\bis assigned\b"), "has been assigned"), (re.compile(r"\bConsider\b"), "You may consider"),
    (re.compile(r"\bimported but unused\b"), "is imported and never used"), (re.compile(r"\.$"), ""),
    (re.compile(r"$"), " (see the guide)"),
)  # fmt: skip


def reword(report: dict[str, Any]) -> None:
    for run in report["runs"]:
        for result in run["results"]:
            text = result["message"].get("text", "")
            for pattern, instead in REWORDINGS:
                text = pattern.sub(instead, text, count=0 if "(" in pattern.pattern else 1)
            result["message"]["text"] = text


# --- scanning and truth -----------------------------------------------------------------------------------------------------


def scan(name: str, tool: Tool, root: Path, report: Path) -> dict[str, Any]:
    environment = os.environ | {"XDG_CACHE_HOME": str(report.parent / "cache"), "SEMGREP_SEND_METRICS": "off"} | tool.environment
    (root.parent / "eslintrc.json").write_text(json.dumps(ESLINT_CONFIG))
    done = subprocess.run(tool.command(report), cwd=root, env=environment, capture_output=True, text=True, check=False)
    written = report.parent / "results_sarif.sarif" if name == "checkov" else report
    if not written.exists() or not written.stat().st_size:
        sys.exit(f"{name} wrote no report: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(written.read_text(encoding="utf-8"))
    written.unlink()
    return found


def read(report: dict[str, Any], root: Path) -> list[Result]:
    """The report's results in file order, with paths relative to the tree's root."""
    results = []
    for run in report["runs"]:
        for found in run["results"]:
            place = found.get("locations", [{}])[0].get("physicalLocation", {})
            path = unquote(place.get("artifactLocation", {}).get("uri", "")).removeprefix("file://")
            path = path.removeprefix(str(root)).lstrip("/").removeprefix("./")
            region = place.get("region", {})
            results.append(
                Result(
                    found.get("ruleId", ""),
                    path,
                    region.get("startLine", 0),
                    region.get("startColumn", 0),
                    found["message"].get("text", ""),
                )
            )
    return results


Anchored = tuple[str, str, int]


def truth_by_origin(old: list[Result], new: list[Result], tree: Tree) -> dict[str, Any]:
    """Pairs results of one rule whose lines have one origin; several on one line are paired in order if they are as many."""
    before: dict[Anchored, list[int]] = defaultdict(list)
    after: dict[Anchored, list[int]] = defaultdict(list)
    for i, result in enumerate(old):
        before[result.rule, result.path, result.line].append(i)
    added = []
    for j, result in enumerate(new):
        lines = tree.files.get(result.path, [])
        origin = lines[result.line - 1].origin if 0 < result.line <= len(lines) else None
        if origin is None:
            added.append(j)
        else:
            after[result.rule, *origin].append(j)
    return _pair(before, after, added, lambda i: (old[i].column, old[i].message, i), lambda j: (new[j].column, new[j].message, j))


def truth_by_order(old: list[Result], new: list[Result]) -> dict[str, Any]:
    """Pairs the results of one rule in one file in order if they are as many: formatters keep order."""
    before: dict[Anchored, list[int]] = defaultdict(list)
    after: dict[Anchored, list[int]] = defaultdict(list)
    for i, result in enumerate(old):
        before[result.rule, result.path, 0].append(i)
    for j, result in enumerate(new):
        after[result.rule, result.path, 0].append(j)
    order = lambda found: lambda i: (found[i].line, found[i].column, i)  # noqa: E731
    return _pair(before, after, [], order(old), order(new))


def _pair(before: dict[Anchored, list[int]], after: dict[Anchored, list[int]], added: list[int],
          old_order: Callable[[int], Any], new_order: Callable[[int], Any]) -> dict[str, Any]:  # fmt: skip
    pairs: dict[str, int | str] = {}
    ambiguous_old: list[int] = []
    ambiguous_new: list[int] = []
    for key, olds in before.items():
        news = after.pop(key, [])
        if not news:
            pairs.update({str(i): "fixed" for i in olds})
        elif len(olds) == len(news):
            pairs.update({str(i): j for i, j in zip(sorted(olds, key=old_order), sorted(news, key=new_order), strict=True)})
        else:
            ambiguous_old += olds
            ambiguous_new += news
    for news in after.values():
        added += news
    return {"map": pairs, "new": sorted(added), "ambiguous_old": sorted(ambiguous_old), "ambiguous_new": sorted(ambiguous_new)}


def texts(results: list[Result], tree: Tree) -> list[str]:
    """A hash of each result's source line without white space: what makes two results of one rule and file twins."""
    found = []
    for result in results:
        lines = tree.files.get(result.path, [])
        text = "".join(lines[result.line - 1].text.split()) if 0 < result.line <= len(lines) else ""
        found.append(hashlib.blake2b(text.encode(), digest_size=6).hexdigest())
    return found


def trim(report: dict[str, Any]) -> None:
    """Leaves out what no reader of pairs needs: rule help, code flows, fixes, lists of files."""
    for run in report["runs"]:
        run.pop("artifacts", None)
        for rule in run["tool"]["driver"].get("rules", []):
            for name in ("help", "fullDescription"):
                rule.pop(name, None)
        for result in run["results"]:
            for name in ("codeFlows", "fixes", "relatedLocations", "attachments"):
                result.pop(name, None)


def save(path: Path, content: dict[str, Any], root: Path) -> None:
    """Writes without the folders of this machine, which a report's paths and Semgrep's rule names hold."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, separators=(",", ":")).replace(str(root), f"/builds/{root.name}")
    data = text.replace(".".join(HERE.parts[1:]) + ".", "").encode()
    path.write_bytes(gzip.compress(data, 9, mtime=0) if path.suffix == ".gz" else data)


def choose(source: Path, target: Path, language: Language, below: str, files: int, chance: random.Random) -> None:
    """Copies a sample of the source's files, not too small and not too large."""
    found = [
        p for p in sorted(source.rglob("*")) if p.suffix in language.suffixes and p.is_file() and 200 < p.stat().st_size < 60_000
    ]
    if below:
        found = [p for p in found if below in p.as_posix()]
    chance.shuffle(found)
    taken = 0
    for path in found:
        text = path.read_bytes()
        try:
            readable = text.decode()
        except UnicodeDecodeError:
            continue
        longest = max(map(len, readable.split("\n")))
        if "\r" in readable or "\t" in readable or longest > 400 or not parses(path.name, readable):
            continue
        name = path.relative_to(source).as_posix()
        if below:
            name = f"{below}/{name.replace(below + '/', '').replace('/', '-').strip('.-')}"
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(text)
        taken += 1
        if taken == files:
            break


BLOCKS = {
    "aws_s3_bucket": ['  bucket = "{n}-data"', '  acl    = "public-read"', "  force_destroy = true"],
    "aws_security_group": ['  name = "{n}"', "  ingress {{", "    from_port   = {port}", "    to_port     = {port}",
                           '    protocol    = "tcp"', '    cidr_blocks = ["0.0.0.0/0"]', "  }}"],
    "aws_db_instance": ['  identifier = "{n}"', '  engine = "postgres"', '  instance_class = "db.t3.small"', "  publicly_accessible = true",
                        "  storage_encrypted = false", '  password = "{n}-secret"'],
    "aws_ebs_volume": ['  availability_zone = "eu-west-3a"', "  size = {port}"],
    "aws_sqs_queue": ['  name = "{n}"'],
    "aws_sns_topic": ['  name = "{n}"'],
    "aws_instance": ['  ami = "ami-{port}"', '  instance_type = "t3.micro"', "  associate_public_ip_address = true"],
    "aws_lb_listener": ["  load_balancer_arn = var.{n}", "  port = {port}", '  protocol = "HTTP"', "  default_action {{",
                        '    type = "forward"', "    target_group_arn = var.target", "  }}"],
    "aws_iam_policy": ['  name = "{n}"', "  policy = jsonencode({{", '    Version = "2012-10-17"',
                       '    Statement = [{{ Effect = "Allow", Action = "*", Resource = "*" }}]', "  }})"],
    "aws_kms_key": ['  description = "{n}"'],
}  # fmt: skip
WORDS = [
    "orders",
    "audit",
    "logs",
    "web",
    "admin",
    "backup",
    "cache",
    "events",
    "media",
    "mail",
    "search",
    "users",
    "edge",
    "data",
]


def write_terraform(root: Path, files: int, chance: random.Random) -> None:
    """Terraform of our own making: registries of real modules are not at hand where this runs."""
    for number in range(files):
        text = ""
        for _ in range(chance.randint(2, 8)):
            kind = chance.choice(sorted(BLOCKS))
            name = f"{chance.choice(WORDS)}_{chance.choice(WORDS)}_{chance.randint(1, 99)}"
            body = "\n".join(BLOCKS[kind]).format(
                n=name.replace("_", "-") if kind != "aws_lb_listener" else name, port=chance.randint(20, 9000)
            )
            text += f'resource "{kind}" "{name}" {{\n{body}\n}}\n\n'
        path = root / chance.choice(["network", "storage", "apps/web", "apps/api", "."]) / f"{chance.choice(WORDS)}{number}.tf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


STEPS = [
    "uses: actions/checkout@v{a}",
    "uses: actions/setup-python@v{b}\n        with:\n          python-version: '3.{a}'\n          cache: pip",
    "uses: acme/{w}-action@main",
    "uses: acme/{w}@v{a}.{b}\n        with:\n          token: ${{{{ secrets.{W}_TOKEN }}}}",
    'name: {w}\n        run: echo "${{{{ github.event.issue.title }}}}" >> {w}.txt',
    "name: build {w}\n        run: |\n          make {w}\n          echo ${{{{ github.head_ref }}}}",
    "name: test {w}\n        run: make test-{w}",
    "uses: actions/upload-artifact@v{a}\n        with:\n          name: {w}\n          path: out/{w}",
]


def write_workflows(root: Path, files: int, chance: random.Random) -> None:
    """GitHub workflows of our own making."""
    for number in range(files):
        trigger = chance.choice(["push", "pull_request", "pull_request_target", "issues"])
        text = f"name: {chance.choice(WORDS)} {number}\non: [{trigger}]\njobs:\n"
        for job in range(chance.randint(1, 3)):
            text += f"  {chance.choice(WORDS)}_{job}:\n    runs-on: ubuntu-latest\n    steps:\n"
            for _ in range(chance.randint(2, 7)):
                word = chance.choice(WORDS)
                step = chance.choice(STEPS).format(w=word, W=word.upper(), a=chance.randint(2, 6), b=chance.randint(1, 12))
                text += f"      - {step}\n"
        path = root / ".github/workflows" / f"{chance.choice(WORDS)}-{number}.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def make(arguments: argparse.Namespace) -> None:
    tool = TOOLS[arguments.tool]
    work = Path(tempfile.mkdtemp(prefix="pairs-"))
    before = work / "before"
    before.mkdir()
    chance = random.Random(arguments.seed)
    if arguments.source == "terraform":
        write_terraform(before, arguments.files, chance)
    elif arguments.source == "workflows":
        write_workflows(before, arguments.files, chance)
    else:
        choose(Path(arguments.source), before, tool.language, tool.below, arguments.files, chance)
    report = scan(arguments.tool, tool, before, work / "report.sarif")
    tree = Tree.read(before, tool.language)
    old = read(report, before)
    out = Path(arguments.out) / f"{arguments.tool}-{arguments.name}"
    trim(report)
    save(out / "before.sarif.gz", report, before)
    for kind in arguments.kinds:
        if kind == "reformat" and not tool.language.formatter:
            continue
        chance = random.Random(f"{arguments.seed}-{kind}")
        edited = tree.copy()
        moves = EDITS[kind](edited, old, chance)
        after = work / f"after-{kind}"
        edited.write(after)
        if kind == "reformat":
            subprocess.run(tool.language.formatter, cwd=after, capture_output=True, check=False)
            edited = Tree.read(after, tool.language)
        report = scan(arguments.tool, tool, after, work / "report.sarif")
        new = read(report, after)
        truth = truth_by_order(old, new) if kind == "reformat" else truth_by_origin(old, new, edited)
        if kind == "reword":
            reword(report)
        same = sum(value != "fixed" for value in truth["map"].values())
        truth |= {
            "tool": arguments.tool, "kind": kind, "before": "../before.sarif.gz", "after": "after.sarif.gz", "moves": moves or {},
            "old_texts": texts(old, tree), "new_texts": texts(new, edited),
            "counts": {"old": len(old), "new": len(new), "same": same, "added": len(truth["new"])},
        }  # fmt: skip
        trim(report)
        save(out / kind / "after.sarif.gz", report, after)
        save(out / kind / "truth.json.gz", truth, after)
        print(f"{out.name} {kind}: {truth['counts']}, ambiguous {len(truth['ambiguous_old'])}", flush=True)
    shutil.rmtree(work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", choices=TOOLS, required=True)
    parser.add_argument("--source", required=True, help="a folder, or 'terraform' or 'workflows' for generated ones")
    parser.add_argument("--out", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--path", nargs="*", default=[], help="folders to look for the tools in")
    arguments = parser.parse_args()
    os.environ["PATH"] = os.pathsep.join([*arguments.path, os.environ["PATH"]])
    make(arguments)


if __name__ == "__main__":
    main()
