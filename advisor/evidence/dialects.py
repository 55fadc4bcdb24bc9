"""What each SQL dialect has that others lack: functions and syntax, with the manual that names them."""

from __future__ import annotations

import re

# As a prompt names them.
NAMES = {
    "mysql": r"\bmysql\b",
    "mariadb": r"\bmariadb\b",
    "postgres": r"\bpostgres(?:ql)?\b",
    "sqlite": r"\bsqlite3?\b",
    "tsql": r"\b(?:sql server|mssql|t-?sql)\b",
    "oracle": r"\b(?:oracle|pl/?sql)\b",
    "bigquery": r"\bbigquery\b",
    "snowflake": r"\bsnowflake\b",
    "duckdb": r"\bduckdb\b",
    "clickhouse": r"\bclickhouse\b",
    "redshift": r"\bredshift\b",
    "spark": r"\b(?:spark|databricks|hive)(?: ?sql)?\b",
    "presto": r"\b(?:presto|trino|athena)\b",
    "db2": r"\bdb2\b",
}
# Only for these does a row say what is missing: of the others the table does not know all that they have.
TABLED = frozenset({"mysql", "mariadb", "postgres", "sqlite", "tsql"})
# (pattern, what to call it, dialects that have it). Sources: MySQL 8.4 Reference Manual ch. 14 "Functions and
# Operators"; PostgreSQL 17 ch. 9 "Functions and Operators", "SELECT"; SQLite "Built-in Scalar SQL Functions", "Date And
# Time Functions", "Aggregate Functions"; Transact-SQL reference "Functions", "TOP"; Oracle SQL Reference "Functions";
# MariaDB Knowledge Base "SQL Functions". Written from memory of these, row by row not yet held against them.
ROWS: tuple[tuple[re.Pattern[str], str, frozenset[str]], ...] = tuple(
    # MariaDB has what MySQL has here, and more.
    (re.compile(pattern, re.I), name, frozenset(has.replace("mysql", "mysql mariadb").split()))
    for pattern, name, has in (
        (r"\bDATE_TRUNC\s*\(", "DATE_TRUNC", "postgres"),
        (r"\bTO_CHAR\s*\(", "TO_CHAR", "postgres oracle mariadb"),
        (r"\bSTRING_AGG\s*\(", "STRING_AGG", "postgres tsql sqlite"),
        (r"\bARRAY_AGG\s*\(", "ARRAY_AGG", "postgres"),
        (r"\bGENERATE_SERIES\s*\(", "generate_series", "postgres sqlite tsql"),
        (r"\bILIKE\b", "ILIKE", "postgres"),
        (r"::\s*[a-z]", "the cast ::", "postgres"),
        (r"\bDISTINCT\s+ON\s*\(", "DISTINCT ON", "postgres"),
        (r"\bNULLS\s+(?:LAST|FIRST)\b", "NULLS LAST", "postgres sqlite"),
        (r"\bEXTRACT\s*\(", "EXTRACT", "postgres mysql oracle"),
        (r"\bDATE_FORMAT\s*\(", "DATE_FORMAT", "mysql"),
        (r"\bDATE_(?:SUB|ADD)\s*\(", "DATE_SUB", "mysql"),
        (r"\bSTR_TO_DATE\s*\(", "STR_TO_DATE", "mysql"),
        (r"\bCURDATE\s*\(", "CURDATE", "mysql"),
        (r"\bNOW\s*\(", "NOW", "mysql postgres"),
        (r"\bIFNULL\s*\(", "IFNULL", "mysql sqlite"),
        (r"\bGROUP_CONCAT\s*\(", "GROUP_CONCAT", "mysql sqlite"),
        (r"`\w+`", "the quotes ` `", "mysql sqlite"),
        (r"\bLIMIT\s+\d+\s*,\s*\d", "LIMIT a, b", "mysql sqlite"),
        (r"\bLIMIT\s+\d", "LIMIT", "mysql sqlite postgres"),
        (r"\bSTRFTIME\s*\(", "strftime", "sqlite"),
        (r"\bJULIANDAY\s*\(", "julianday", "sqlite"),
        (r"\bSELECT\s+(?:DISTINCT\s+)?TOP\s*\(?\s*\d", "TOP", "tsql"),
        (r"\bGETDATE\s*\(", "GETDATE", "tsql"),
        (r"\bDATEADD\s*\(", "DATEADD", "tsql"),
        (r"\bLEN\s*\(", "LEN", "tsql"),
        (r"\b(?:TO_DATE|TO_TIMESTAMP)\s*\(", "TO_DATE", "postgres oracle mariadb"),
        (r"\bSPLIT_PART\s*\(", "SPLIT_PART", "postgres"),
        (r"\bSIMILAR\s+TO\b", "SIMILAR TO", "postgres"),
        (r"\bINTERVAL\s+''(?!\s*(?:DAY|WEEK|MONTH|QUARTER|YEAR|HOUR|MINUTE|SECOND))", "INTERVAL '…'", "postgres"),
        (r"\bINTERVAL\s+\d+\s+(?:DAY|WEEK|MONTH|QUARTER|YEAR|HOUR|MINUTE|SECOND)\b", "INTERVAL n DAY", "mysql"),
        (r"\|\|", "the concatenation ||", "postgres sqlite tsql oracle"),
        (r"->>", "->>", "postgres mysql sqlite"),
        (r"\bFULL\s+(?:OUTER\s+)?JOIN\b", "FULL JOIN", "postgres sqlite tsql oracle"),
        (r"\bON\s+CONFLICT\b", "ON CONFLICT", "postgres sqlite"),
        (r"\bON\s+DUPLICATE\s+KEY\b", "ON DUPLICATE KEY", "mysql"),
        (r"\bREPLACE\s+INTO\b", "REPLACE INTO", "mysql sqlite"),
        (r"\b(?:UNIX_TIMESTAMP|FROM_UNIXTIME|SUBSTRING_INDEX|TIMESTAMPDIFF)\s*\(", "a function of MySQL", "mysql"),
        (r"\b(?:YEAR|MONTH)\s*\(", "YEAR or MONTH as a function", "mysql tsql"),
        (r"\bDATEDIFF\s*\(", "DATEDIFF", "mysql tsql"),
        (r"\bISNULL\s*\(", "ISNULL", "mysql tsql"),
        (r"\bAUTO_INCREMENT\b", "AUTO_INCREMENT", "mysql"),
        (r"\bAUTOINCREMENT\b", "AUTOINCREMENT", "sqlite"),
        (r"\b(?:DATEPART|EOMONTH|CHARINDEX|STUFF)\s*\(", "a function of T-SQL", "tsql"),
        (r"\b(?:CROSS|OUTER)\s+APPLY\b", "APPLY", "tsql oracle"),
        (r"(?<![\w\])])\[[A-Za-z_ ]+\]", "the quotes [ ]", "tsql sqlite"),
        (r"\bFETCH\s+(?:NEXT|FIRST)\b", "FETCH NEXT", "postgres tsql oracle"),
        (r"\b(?:LEFT|RIGHT)\s*\((?!\s*SELECT)", "LEFT or RIGHT as a function", "mysql postgres tsql"),
        (r"\bRLIKE\b", "RLIKE", "mysql"),
        (r"\bNVL\s*\(", "NVL", "oracle mariadb"),
        (r"\bSYSDATE\b(?!\s*\()", "SYSDATE", "oracle"),
        (r"\bROWNUM\b", "ROWNUM", "oracle mariadb"),
    )
)
