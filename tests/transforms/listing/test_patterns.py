import pytest

from tracktokens.transforms.listing.patterns import EVERYTHING, Pattern, split_wildcards


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("*.csv", ["a.csv"], ["a/b.csv", "a.tsv", "_a.csv", ".a.csv"]),
        ("**/*.csv", ["a.csv", "x/a.csv", "x/y/a.csv"], ["_x/a.csv", "x/.a.csv", "x/a.tsv"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["b", "a/b/x", "x/a/b"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "b/a"]),
        ("**", ["a", "a/b"], ["_a", "a/_b", ".a/b"]),
        ("**/**/a", ["a", "b/a", "b/c/a"], ["a/b"]),
        ("a**b", ["ab", "axb", "ax/yb", "a/b", "ax/y/zb"], ["a", "b", "ax/y"]),
        ("***/a", ["a", "b/a"], []),
        ("_*/a", ["_x/a"], ["x/a", ".x/a"]),
        ("?[ab][!c]", ["xad"], ["xac", "xcd", "xa"]),
        ("[[]x[]]", ["[x]"], ["x"]),
        ("a\nb*", ["a\nbc"], []),
    ],
)
def test_patterns(pattern, matching, others):
    wanted = Pattern.of(pattern)
    assert [path for path in matching + others if wanted.matches(path)] == matching


def test_no_folder_out_of_reach_is_entered():
    wanted = Pattern.of("a*/**/x/*.csv")
    assert wanted.enter(wanted.start, "b") == frozenset()
    assert wanted.enter(wanted.start, "ab")
    assert EVERYTHING.takes_everything
    assert not wanted.takes_everything


def test_the_folder_before_the_first_wildcard():
    assert split_wildcards("gs://b/c/*/x.csv") == ("gs://b/c", "*/x.csv")
    assert split_wildcards("gs://b/c/x*.csv") == ("gs://b/c", "x*.csv")
    assert split_wildcards("gs://b/c/x.csv") == ("gs://b/c", "x.csv")
