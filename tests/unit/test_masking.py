"""What a masked line shows is what programs say, and nothing that somebody typed."""

from __future__ import annotations

import random

import pytest
from logmetrics.masking import LONGEST, WORDS, Mask

SSHD = r"^Failed \S+ for (?:invalid user )?(?P<user>.{1,64}?) from \S+ port "


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            "Failed password for invalid user Tr0ub4dor&3 from 192.0.2.1 port 2222 ssh2",
            "Failed password for invalid user * from <address> port 0 *",
        ),
        ("Failed password for root from fe80::1 port 22", "Failed password for * from <address> port 0"),
        ("Failed for correct horse battery staple from ::1", "Failed for * * * * from <address>"),
        ("Invalid user test from 192.0.2.1", "Invalid user * from <address>"),
        (
            "  root : TTY=pts/0 ; PWD=/root ; USER=root ; COMMAND=/usr/bin/mysql -psecret",
            "  * : *=* ; *=* ; USER=* ; COMMAND=* *",
        ),
        ("said \"my secret\" then 'another one'", "* '*' then '*'"),
        ("GET /login?pw=hunter HTTP/1.1 bob@example.com", "GET *?*=* * *"),
        ("token=password bearer: eyJhbGciOi.foo", "token=* *: *"),
        ("took 2.5 ms at 12:30:11", "took 0 ms at 0"),
        ("no such café\x1b[0m", "no such *[*"),
    ],
)
def test_of_a_line_its_program_s_words_stay(line: str, shown: str) -> None:
    assert Mask([SSHD, r"took (?P<value>[\d.]+) ms"]).text(line.encode()) == shown


def test_a_made_up_word_never_stays_wherever_it_stands() -> None:
    rng = random.Random(7)  # noqa: S311 - words, no secret
    mask = Mask([SSHD])
    signs = " =:;,'\"()[]{}<>/\\@.-_+*!?|#&%$\t"
    some = sorted(WORDS)
    for _ in range(1500):
        secret = "".join(rng.choice("bcdfgjkqvwxz") for _ in range(8))
        before, after = (
            "".join(rng.choice(signs) + rng.choice(some) * rng.randrange(2) for _ in range(4)) for _ in range(2)
        )
        line = before + rng.choice(signs) + secret + rng.choice(signs) + after
        assert secret not in mask.text(line.encode()), line


def test_words_of_the_rules_stay_but_their_group_names_and_classes_do_not() -> None:
    mask = Mask([r"^zork(?P<grue>\w+) [a-quux]+"])
    assert mask.text(b"zork grue quux w") == "zork * * *"


def test_it_is_bounded_and_takes_any_bytes() -> None:
    assert len(Mask().text(b"error \xff\x00 " * 10_000)) == LONGEST
    assert Mask().line(None, b"") == ""
    assert Mask().line(b"app", b"error 7") == "app: error 0"
