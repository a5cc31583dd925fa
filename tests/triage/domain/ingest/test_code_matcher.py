"""Which finding a result is: what moved, was copied, edited, fixed, came back."""

import time
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from triage.domain.ingest.code_matcher import Traits, match
from triage.ports import Place


def found(
    path="a.py", line=1, text="", *, rule="R", message="said", context="", address="", column=1, ordinal=0, gone=False, **prints
):
    place = Place(path, line, line, column, address, text, context, tuple(prints.items()), next(iter(prints), ""))
    return Traits(rule, message, place, ordinal, gone)


def moved(traits, **changes):
    """The same result elsewhere: place fields by name, `message` and `rule` too."""
    own = {name: changes.pop(name) for name in ("message", "rule", "gone") if name in changes}
    return replace(traits, place=replace(traits.place, **changes), **own)


def matched(olds, news):
    """Old index by new index."""
    return [key for key, _stage in match(list(enumerate(olds)), news)]


def stages(olds, news):
    return [stage for _key, stage in match(list(enumerate(olds)), news)]


# --- properties ---------------------------------------------------------------------------------------------------------------

words = st.sampled_from(["", "eval(x)", "eval(y)", "subprocess.call(command, shell=True)", "assert user", "open(path)"])
results = st.builds(
    found,
    path=st.sampled_from(["a.py", "b/a.py", "b/c.py", ""]),
    line=st.integers(0, 12),
    text=words,
    rule=st.sampled_from(["R", "S"]),
    message=st.sampled_from(["said", "said of `x`", "said of `y`"]),
    context=words,
    address=st.sampled_from(["", "", "bucket.logs", "pkg@1.0", "pkg@1.1"]),
    column=st.integers(0, 2),
    ordinal=st.integers(0, 3),
    gone=st.booleans(),
    hash=st.sampled_from(["", "f1", "f2:1", "f2:2"]),
)
runs = st.lists(results, max_size=14)


@given(runs, runs)
@settings(max_examples=300, deadline=None)
def test_no_finding_is_two_results_and_no_rule_becomes_another(olds, news):
    pairs = [(old, new) for new, old in enumerate(matched(olds, news)) if old is not None]

    assert len({old for old, _new in pairs}) == len(pairs)
    assert all(olds[old].rule == news[new].rule for old, new in pairs)


@given(runs)
@settings(max_examples=200, deadline=None)
def test_equal_runs_match_in_full(run):
    present = [replace(each, gone=False) for each in run]

    pairs = matched(present, present)

    assert None not in pairs
    assert [present[old].place for old in pairs] == [each.place for each in present]


@given(runs, runs, st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_the_order_of_the_arguments_says_nothing(olds, news, chance):
    def told_apart(run):
        return [replace(each, ordinal=number) for number, each in enumerate(run)]

    olds, news = told_apart(olds), told_apart(news)
    keyed, shuffled = list(enumerate(olds)), list(enumerate(news))
    chance.shuffle(keyed)
    chance.shuffle(shuffled)

    again = match(keyed, [each for _number, each in shuffled])

    assert dict(zip((number for number, _each in shuffled), again, strict=True)) == dict(
        enumerate(match(list(enumerate(olds)), news))
    )


@given(st.integers(0, 6), st.integers(0, 6))
def test_twins_are_matched_by_their_count(before, after):
    twins = [found(line=10 * number + 1, text="eval(x)", ordinal=number) for number in range(max(before, after))]

    pairs = matched(twins[:before], twins[:after])

    assert sum(key is not None for key in pairs) == min(before, after)


@given(st.lists(st.sampled_from(["eval(x)", "open(path)", "assert user"]), min_size=1, max_size=12), st.integers(0, 200))
@settings(deadline=None)
def test_a_shift_of_all_lines_changes_nothing(texts, shift):
    olds = [found(line=3 * number + 1, text=text, ordinal=number) for number, text in enumerate(texts)]

    assert matched(olds, [moved(each, start_line=each.place.start_line + shift) for each in olds]) == list(range(len(olds)))


# --- stages -------------------------------------------------------------------------------------------------------------------


def test_an_unchanged_file_is_matched_at_once():
    run = [found(line=number, ordinal=number) for number in range(1, 5)]

    assert stages(run, run) == ["file"] * 4


def test_a_trusted_fingerprint_with_its_text_goes_before_all():
    olds = [found(line=5, text="x = 1", hash="f1"), found(line=9, text="x = 1", hash="f2")]
    news = [moved(olds[1], start_line=5), moved(olds[0], start_line=50)]

    assert match(list(enumerate(olds)), news) == [(1, "fingerprint"), (0, "fingerprint")]


def test_a_running_number_in_a_fingerprint_is_no_identity():
    first, second = (
        found(line=5, text="x = 1", context="a\nx = 1\nb", hash="f:1"),
        found(line=9, text="x = 1", context="c\nx = 1\nd", hash="f:2"),
    )
    left = moved(second, start_line=8, fingerprints=(("hash", "f:1"),))

    assert matched([first, second], [left]) == [1]


def test_the_address_of_a_resource_is_enough_whatever_its_block_says_now():
    olds = [found(line=1, text="a" * 50, address="aws_s3_bucket.a"), found(line=9, text="b" * 50, address="aws_s3_bucket.b")]
    news = [found(line=40, text="c" * 50, address="aws_s3_bucket.b"), found(line=1, text="b" * 50, address="aws_s3_bucket.a")]

    assert match(list(enumerate(olds)), news) == [(1, "address"), (0, "address")]


def test_an_upgraded_package_that_is_still_vulnerable_is_no_fix():
    olds = [found("lock", 1, address="musl@1.2.3"), found("lock", 1, address="@scope/x@2.0", rule="S")]
    news = [found("lock", 1, address="musl@1.2.4"), found("lock", 1, address="@scope/x@2.1", rule="S")]

    assert matched(olds, news) == [0, 1]


def test_a_tool_that_words_its_messages_anew_loses_nothing():
    olds = [found(line=n, text=f"call_{n}(x)", message="Possible injection.", ordinal=n) for n in (3, 5, 9)]
    olds += [found(line=n, message=f"'name{n}' is unused", ordinal=n) for n in (4, 7)]
    news = [moved(each, start_line=each.place.start_line + 2, message="Potential injection found") for each in olds[:3]]
    news += [
        moved(each, start_line=each.place.start_line + 2, message=f"`name{each.ordinal}` is never used!") for each in olds[3:]
    ]

    assert matched(olds, news) == [0, 1, 2, 3, 4]


def test_a_rule_that_is_read_from_another_folder_is_the_same_rule():
    olds = [found(line=n, text=f"eval(a{n})", rule="home.ann.rules.no-eval", ordinal=n) for n in (3, 5)] + [
        found(line=9, text="open(path)")
    ]
    news = [moved(each, rule="builds.7.rules.no-eval") for each in olds[:2]] + [olds[2]]

    assert matched(olds, news) == [0, 1, 2]
    assert matched(olds, [moved(each, rule="other.rule") for each in olds[:2]]) == [None, None]


def test_a_text_that_was_stored_cut_is_still_the_text():
    text = "call(" + "argument, " * 100 + ")"

    assert matched([found(text=text[:400], line=3)], [found(text=text, line=90)]) == [0]


def test_messages_are_compared_without_their_white_space():
    assert matched([found(message="two\r\nlines ", line=2, column=3)], [found(message="two\nlines", line=2, column=3)]) == [0]


# --- edits --------------------------------------------------------------------------------------------------------------------


def test_an_edited_line_is_the_line_that_it_was():
    olds = [found(line=5, text="mark_safe(html % icon)"), found(line=9, text="mark_safe(name)")]
    news = [found(line=5, text="mark_safe(html_v2 % icon)"), found(line=9, text="mark_safe(name)")]

    assert matched(olds, news) == [0, 1]


def test_an_edit_of_a_line_that_is_known_by_its_message_only():
    olds = [found(line=5, message="'a' is unused", column=7), found(line=9, message="'b' is unused")]
    news = [found(line=5, message="'renamed' is unused", column=7), found(line=9, message="'b' is unused")]

    assert matched(olds, news) == [0, 1]


def test_what_was_fixed_is_not_what_is_new():
    olds = [found(line=5, text="subprocess.call(path)"), found(line=20, text="eval(x)")]
    news = [found(line=90, text='os.system("echo " + command_line)'), found(line=19, text="eval(x)")]

    assert matched(olds, news) == [None, 1]


def test_after_the_first_of_three_is_fixed_the_others_are_still_themselves():
    olds = [found(line=line, message="use ===", ordinal=line) for line in (10, 20, 30)]
    news = [found(line=line, message="use ===", ordinal=line) for line in (19, 29)]

    assert matched(olds, news) == [1, 2]


def test_without_text_the_length_tells_twins_apart():
    olds = [replace(found(line=n), place=Place("a.js", n, n, 1, end_column=40 + n)) for n in (7, 9, 11)]
    news = [
        replace(each, place=replace(each.place, start_line=each.place.start_line - 1, end_line=each.place.end_line - 1))
        for each in olds
    ]

    assert matched(olds, news[1:]) == [1, 2]


def test_lines_inserted_between_twins_shift_those_behind():
    olds = [found(line=line, message="use ===", ordinal=line) for line in (10, 20, 30, 40)]
    news = [found(line=line, message="use ===", ordinal=line) for line in (10, 30, 40, 50)]

    assert matched(olds, news) == [0, 1, 2, 3]


def test_a_copy_is_pasted_below():
    old = found(line=2, text="eval(x)", context="before\neval(x)\nafter")
    news = [
        found(line=2, text="eval(x)", context="before\neval(x)\neval(x)"),
        found(line=3, text="eval(x)", context="eval(x)\neval(x)\nafter", ordinal=1),
    ]

    assert matched([old], news) == [0, None]
    assert matched([old], news[::-1]) == [None, 0]


def test_two_statements_that_changed_places_are_still_themselves():
    olds = [found(line=5, text="eval(first)"), found(line=9, text="eval(second)", ordinal=1)]
    news = [found(line=5, text="eval(second)"), found(line=9, text="eval(first)", ordinal=1)]

    assert matched(olds, news) == [1, 0]


# --- files --------------------------------------------------------------------------------------------------------------------


def test_a_moved_file_takes_its_findings_along():
    olds = [found("src/a.py", n, f"subprocess.call(command_{n}, shell=True)") for n in (3, 5)] + [found("src/b.py", 3, "eval(x)")]
    news = [moved(each, path="moved/src/a.py", start_line=each.place.start_line + 1) for each in olds[:2]] + [olds[2]]

    assert matched(olds, news) == [0, 1, 2]


def test_a_renamed_file_with_an_edited_line_too():
    olds = [found("src/models.py", n, f"eval(value_{n})") for n in (3, 5, 9)]
    news = [moved(olds[0], path="src/models_old.py"), moved(olds[1], path="src/models_old.py", snippet="eval(other_5)"),
            moved(olds[2], path="src/models_old.py")]  # fmt: skip

    assert matched(olds, news) == [0, 1, 2]


def test_another_root_folder_moves_all():
    olds = [found(f"aws/{name}/main.tf", 1, message="open") for name in ("a", "b", "c", "d")]
    news = [moved(each, path=f"terraform/{each.place.path}") for each in olds]

    assert matched(olds, news) == [0, 1, 2, 3]


def test_a_file_that_vanished_is_not_any_file_that_appeared():
    olds = [found("src/old.py", 3, "eval(x)"), found("src/kept.py", 1, "open(path)")]
    news = [found("lib/new.py", 80, "eval(argument)"), found("src/kept.py", 1, "open(path)")]

    assert matched(olds, news) == [None, 1]


def test_code_that_moved_to_another_file_is_found_if_it_says_enough():
    olds = [
        found("a.py", 3, 'subprocess.call("echo " + line, shell=True)'),
        found("a.py", 9, "import os"),
        found("b.py", 1, "x()"),
    ]
    news = [
        found("b.py", 30, 'subprocess.call("echo " + line, shell=True)'),
        found("b.py", 1, "x()"),
        found("b.py", 2, "import os"),
    ]

    assert match(list(enumerate(olds)), news) == [(0, "elsewhere"), (2, "text"), (None, "")]


# --- regressions --------------------------------------------------------------------------------------------------------------


def test_a_verified_finding_that_is_back_at_its_place_is_a_regression():
    olds = [found(line=5, text="eval(x)", gone=True), found(line=9, text="open(path)")]
    news = [found(line=6, text="eval(x)"), found(line=10, text="open(path)")]

    assert matched(olds, news) == [0, 1]


def test_a_present_finding_goes_before_a_verified_one():
    gone, present = found(line=5, text="eval(x)", gone=True), found(line=50, text="eval(x)", ordinal=1)

    assert matched([gone, present], [found(line=5, text="eval(x)")]) == [1]
    assert matched([gone, present], [found(line=5, text="eval(x)"), found(line=50, text="eval(x)", ordinal=1)]) == [0, 1]


def test_a_verified_finding_is_not_taken_for_something_similar():
    gone = found(line=5, text="mark_safe(html % icon)", gone=True)

    assert matched([gone], [found(line=5, text="mark_safe(html_v2 % icon)")]) == [None]
    assert matched([found(message="use ===", line=5, column=9, gone=True)], [found(message="use ===", line=70, column=3)]) == [
        None
    ]


# --- size ---------------------------------------------------------------------------------------------------------------------


def test_a_large_file_of_equal_results_is_matched_in_seconds():
    olds = [found(line=4 * n + n % 3 + n * n % 7, message="use ===", ordinal=n) for n in range(20_000)]
    fixed = set(range(0, 20_000, 37))
    news = [moved(each, start_line=each.place.start_line + 12) for n, each in enumerate(olds) if n not in fixed]

    started = time.process_time()
    pairs = matched(olds, news)

    right = sum(old == olds[old].ordinal == new.ordinal for old, new in zip(pairs, news, strict=True) if old is not None)
    assert right > 0.99 * len(news)
    assert time.process_time() - started < 20
