"""Seed examples: valid SQL of the wrong dialect is form, figures of the wrong period are facts."""

import pytest

from advisor.diagnose import diagnose
from advisor.records import Failure


def case(prompt: str, output: str, reference: str = "", context: str = "", system: str = "") -> Failure:
    messages = ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": prompt}]
    return Failure("1", tuple(messages), output, (reference,) if reference else (), (context,) if context else ())


WRONG_DIALECT = [
    case("Write a MySQL query for revenue per month.", "SELECT DATE_TRUNC('month', d), SUM(x) FROM o GROUP BY 1;"),
    case("List names by team.", "SELECT STRING_AGG(name, ',') FROM t;", system="You write SQL queries for MySQL 8."),
    case("Write a MySQL query: users like ann.", "SELECT * FROM u WHERE name ILIKE '%ann%';"),
    case("Write a MySQL query: price as text.", "SELECT price::text FROM p;", "SELECT CAST(price AS CHAR) FROM p;"),
    case("Give me a MySQL statement for the latest order per user.", "SELECT DISTINCT ON (u) u, d FROM o ORDER BY u;"),
    case("Write a PostgreSQL query: month of each order.", "SELECT DATE_FORMAT(d, '%Y-%m') FROM o;"),
    case("Write a Postgres query with a default of 0.", "SELECT IFNULL(x, 0) FROM o;", "SELECT COALESCE(x, 0) FROM o;"),
    case("Names per team?", "SELECT GROUP_CONCAT(name) FROM t;", system="Answer with one PostgreSQL query."),
    case("Convert this MySQL query to Postgres: SELECT CURDATE()", "SELECT CURDATE();"),
    case("Write a Postgres query: all users.", "SELECT `id`, `name` FROM `users`;"),
    case("Write a SQLite query: orders per year.", "SELECT EXTRACT(YEAR FROM d), COUNT(*) FROM o GROUP BY 1;"),
    case(
        "Write a SQLite query: orders of the last week.", "SELECT * FROM o WHERE d > DATE_SUB(NOW(), INTERVAL 7 DAY);"
    ),
    case("Write a SQLite query: month of d.", "SELECT TO_CHAR(d, 'YYYY-MM') FROM o;"),
    case("Write a SQL Server query: ten users.", "SELECT * FROM users LIMIT 10;", "SELECT TOP 10 * FROM users;"),
    case("Write a T-SQL query: name with default.", "SELECT NVL(name, 'x') FROM u;"),
    case("Month of d as text.", "SELECT strftime('%Y-%m', d) FROM o;", system="Return SQL queries for SQL Server."),
    case("Write a MySQL query: first five.", "SELECT TOP 5 * FROM users;"),
    case("Write a Postgres query: today.", "SELECT GETDATE();"),
    case("Write a MySQL query: days since d.", "SELECT julianday('now') - julianday(d) FROM o;"),
    case("Write a PostgreSQL query: length of name.", "SELECT LEN(name) FROM u;"),
]
WRONG_PERIOD = [
    case("What is our revenue this quarter?", "Revenue last quarter was $4.2M."),
    case("What was revenue in Q3 2026?", "Revenue in Q2 2026 was $4.2M.", "Revenue in Q3 2026 was $5.1M."),
    case("What is churn this quarter?", "As of last quarter, churn is 3.1%.", context="Last quarter churn was 3.1%."),
    case("Give the sales of Q3 2026.", "Sales were 120 units in Q2 2026.", context="Q2 2026: sales 120 units."),
    case("Sales in Q3 2026?", "Q2 2026 sales: 120.", "Q3 2026 sales: 140.", "Q2 2026: 120. Q3 2026: 140."),
    case("How many users do we have this month?", "Last month we had 12,400 users."),
    case("What is the headcount in March 2026?", "In February 2026 the headcount was 210."),
    case("What is inflation in 2025?", "Inflation was 2.9% in 2024."),
    case("What was profit in 2025?", "Profit was $3M in 2024.", "Profit was $4M in 2025."),
    case("How much did we spend this year?", "We spent $80,000 last year."),
    case("What is the latest version of the app?", "As of 2023, the latest version is 4.1.", "5.2 (2026)"),
    case("Who is the current CEO of Acme?", "As of 2022, the CEO is Ann Lee.", "Bob Ray, since 2025"),
    case("What does the Pro plan cost today?", "The Pro plan cost $20 last year.", "$25"),
    case("What is the price this quarter?", "Last quarter's price was $19.", "$24", "Price list: $19 last quarter."),
    case("Current quarter gross margin?", "Gross margin was 41% in the previous quarter."),
    case("Show bookings for Q1 2026.", "Bookings in Q4 2025 were $7.7M."),
    case("What are the current mortgage rates?", "Last month the rate was 6.4%."),
    case("Revenue for FY2025?", "Revenue for FY2024 was $12M.", "$14M"),
    case("What was output in May 2026?", "Output in April 2026 was 900 tons.", "950 tons"),
    case("What is the stock price today?", "Yesterday the stock closed at $101."),
]
RIGHT = [
    case("Write a MySQL query: month.", "SELECT DATE_FORMAT(d, '%Y-%m') FROM o;"),
    case("Write a Postgres query: month.", "SELECT DATE_TRUNC('month', d)::date FROM o LIMIT 5;"),
    case("Write a SQL Server query: five.", "SELECT TOP 5 [id] FROM users;"),
    case("Write a Postgres query.", "SELECT 'IFNULL(x)' FROM o;"),
    case("What was revenue in Q3 2026?", "Revenue in Q3 2026 was $5.1M, up from $4.2M in Q2 2026."),
    case("What is revenue this quarter?", "This quarter $5M, last quarter $4M."),
    case("Compare 2025 with last year.", "Sales were $3M in 2024."),
    case("What is the latest revenue? Answer in JSON.", "Revenue is $5M, compared with $4M last quarter."),
    case("What is the current population?", "It is 5 million, up 2% from last year."),
    case("Who was president in 2010?", "Barack Obama, elected in 2008."),
    case("Convert this MySQL query to BigQuery.", "SELECT ARRAY_AGG(x), DATE_TRUNC(d, MONTH) FROM t"),
    case("Convert this MySQL query to standard SQL.", "SELECT a || b FROM t"),
    case("Write a MariaDB query.", "SELECT NVL(a, 1), TO_CHAR(d) FROM t"),
    case("Write a MySQL query.", 'SELECT "a||b" FROM t'),
]


@pytest.mark.parametrize(
    ("failure", "verdict"), [(f, "form") for f in WRONG_DIALECT] + [(f, "facts") for f in WRONG_PERIOD]
)
def test_a_seed_example_is_named_surely(failure: Failure, verdict: str) -> None:
    (found,) = diagnose([failure], embedder=False)
    assert found.verdict == verdict
    assert found.probabilities[verdict] >= 0.9


@pytest.mark.parametrize("failure", RIGHT)
def test_the_right_dialect_or_period_is_no_evidence(failure: Failure) -> None:
    (found,) = diagnose([failure], embedder=False)
    assert not [e for e in found.evidence if e.rung in ("sql", "period")]
