"""The README says what is true: its examples run and print what they are said to print, its links lead somewhere."""
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLES, ids=[f"example{i}" for i in range(len(EXAMPLES))])
def test_examples_print_what_they_say(code, capsys):
    said = [re.match(r"[\w.]+", comment).group() for comment in re.findall(r"print\(.*\)  # (.*)", code)]
    assert said
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out.split()
    for word, output in zip(said, printed, strict=True):
        if re.fullmatch(r"[\d.]+", word):
            word = word.rstrip(".")
            assert float(output) == pytest.approx(float(word), abs=0.15)  # 79 steps: another BLAS rounds differently
        else:
            assert output == word


def test_links_lead_to_files():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", TEXT) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_command_is_named():
    from npnet.cli import parser

    commands = parser()._subparsers._group_actions[0].choices
    named = re.search(r"npnet (download \|.*?doctor)", TEXT).group(1).split(" | ")
    assert set(named) == set(commands)
