"""The little Markdown of scanners, as safe HTML."""

import time

import pytest

from triage.templatetags.scanner_text import LONGEST, scanner_text, unfenced


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("plain", "<p>plain</p>"),
        ("one\ntwo\n\nthree", "<p>one<br>two</p><p>three</p>"),
        ("a **bold** word", "<p>a <strong>bold</strong> word</p>"),
        ("call `a<b>()`", "<p>call <code>a&lt;b&gt;()</code></p>"),
        ("`**not bold**`", "<p><code>**not bold**</code></p>"),
        ("- one\n* two", "<ul><li>one</li><li>two</li></ul>"),
        ("3. three\n4) four", '<ol start="3"><li>three</li><li>four</li></ol>'),
        ("Do:\n- one\ndone", "<p>Do:</p><ul><li>one</li></ul><p>done</p>"),
        ("```hcl\nx = 1\n\ny = 2\n```\nend", '<div class="code"><pre tabindex="0">x = 1\n\ny = 2</pre></div><p>end</p>'),
        ("```\nnever closed", '<div class="code"><pre tabindex="0">never closed</pre></div>'),
        ("**open `and open", "<p>**open `and open</p>"),
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"),
        ("**<img src=x onerror=alert(1)>**", "<p><strong>&lt;img src=x onerror=alert(1)&gt;</strong></p>"),
        ("", ""),
    ],
)
def test_what_scanners_write_becomes_html(written, shown):
    assert scanner_text(written) == shown


@pytest.mark.parametrize("piece", ["**", "`", "* ", "```\n", "1. ", "[", "<", "**a", "`b", "\n"])
def test_a_hostile_text_takes_no_longer(piece):
    began = time.process_time()

    shown = scanner_text(piece * (1_000_000 // len(piece)))

    assert time.process_time() - began < 1
    assert len(shown) < 30 * LONGEST


@pytest.mark.parametrize(
    ("written", "shown"),
    [("```hcl\nx\n```", "x"), ("x", "x"), ("```\nx", "```\nx"), ("a\n```\nb\n```", "a\n```\nb\n```"), ("", "")],
)
def test_a_fence_around_all_of_it_is_taken_off(written, shown):
    assert unfenced(written) == shown
