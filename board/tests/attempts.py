"""The table of what each attempt of the hostile program comes to, and its comparison with what it printed."""

import tomllib

from home import REPO

TABLE = REPO / "sandbox/tests/data/attempts.toml"
OTHER_RUNS = ("gates-x86_64", "spying", "exhaustion")  # not tried by `hostile once` on the gateway


def rows(*themes):
    """Rows by name; without a theme, all of `hostile once`. A row that is only an outcome becomes a table."""
    table = tomllib.loads(TABLE.read_text())
    wanted = themes or [theme for theme in table if theme not in OTHER_RUNS]
    every = {name: row for theme in wanted for name, row in table[theme].items()}
    return {name: {"inside": row} if isinstance(row, str) else row for name, row in every.items()}


def results(lines):
    """Outcomes by name, of the lines that a service printed."""
    words = [line.split(" ", 2)[1:] for line in lines if line.startswith("RESULT ")]
    return {word[0]: word[1] if len(word) > 1 else "" for word in words if word[0] != "end"}


def wrong(rows, results):
    """What is not as it must be, and what has no row: name, outcome and what was expected."""
    found = {}
    for name in {**rows, **results}:
        row, outcome = rows.get(name), results.get(name)
        expected = ["no row"] if row is None else [row.get("guest", row["inside"]), *row.get("or", [])]
        if outcome not in expected and expected[0] != "any":
            found[name] = (outcome, expected)
    return found
