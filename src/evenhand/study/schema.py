"""The store's tables. A change here raises SCHEMA_VERSION and needs a migration."""

SCHEMA_VERSION = 11

# What came later, by the version that brought them; an older store gets them when it is opened.
ADDED = {
    2: """CREATE TABLE IF NOT EXISTS labels (
  trial INTEGER PRIMARY KEY, label TEXT NOT NULL, score REAL NOT NULL, annotator TEXT NOT NULL, at REAL NOT NULL
);
""",
    3: "ALTER TABLE trials ADD COLUMN calls INTEGER NOT NULL DEFAULT 1;\n",
    # Thoughts, what the cache saved and what a filter said; the limit an answer was asked under. Answers that were cut
    # and asked again under a higher limit stay in ``replaced``: they are paid for.
    4: """ALTER TABLE trials ADD COLUMN reasoning TEXT NOT NULL DEFAULT '';
ALTER TABLE trials ADD COLUMN reasoning_tokens INTEGER;
ALTER TABLE trials ADD COLUMN cached_tokens INTEGER;
ALTER TABLE trials ADD COLUMN filtered TEXT NOT NULL DEFAULT '';
ALTER TABLE trials ADD COLUMN max_tokens INTEGER;
CREATE TABLE IF NOT EXISTS replaced AS SELECT * FROM trials WHERE 0;
""",
    # What items share: the question behind paraphrases.
    5: "ALTER TABLE items ADD COLUMN cluster TEXT NOT NULL DEFAULT '';\n",
    # Looks that the gate took: data there were, and what was spent on wrongly passing and on wrongly failing.
    6: """CREATE TABLE IF NOT EXISTS looks (
  id INTEGER PRIMARY KEY, at REAL NOT NULL, limits TEXT NOT NULL, information REAL NOT NULL,
  pass_planned REAL NOT NULL, pass_total REAL NOT NULL, pass_error REAL NOT NULL,
  fail_planned REAL NOT NULL, fail_total REAL NOT NULL, fail_error REAL NOT NULL, follows TEXT NOT NULL
);
""",
    # What each annotator said (without a score: cannot tell), and who resolved it; ``labels`` has what follows from it,
    # one label per response. ``drawn``: the responses that people label in a browser, in their order.
    7: """CREATE TABLE IF NOT EXISTS annotations (
  id INTEGER PRIMARY KEY, trial INTEGER NOT NULL, annotator TEXT NOT NULL, resolves INTEGER NOT NULL,
  label TEXT NOT NULL, score REAL, at REAL NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS annotation ON annotations (trial, annotator, resolves);
INSERT OR IGNORE INTO annotations (trial, annotator, resolves, label, score, at)
  SELECT trial, annotator, 0, label, score, at FROM labels;
CREATE TABLE IF NOT EXISTS drawn (position INTEGER PRIMARY KEY, trial INTEGER NOT NULL UNIQUE);
""",
    # Who asked which item: records of people; what personalizers learned of them; and the calls that it took.
    8: """ALTER TABLE items ADD COLUMN person TEXT NOT NULL DEFAULT '';
CREATE TABLE IF NOT EXISTS people (name TEXT PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS memories (
  personalizer TEXT NOT NULL, person TEXT NOT NULL, identity TEXT NOT NULL, content TEXT NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (personalizer, person, identity)
);
CREATE TABLE IF NOT EXISTS learning (
  personalizer TEXT NOT NULL, person TEXT NOT NULL, identity TEXT NOT NULL, call INTEGER NOT NULL,
  run INTEGER NOT NULL, seed INTEGER NOT NULL, request TEXT NOT NULL, response TEXT NOT NULL, prompt_tokens INTEGER,
  completion_tokens INTEGER, reasoning_tokens INTEGER, cached_tokens INTEGER, calls INTEGER NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (personalizer, person, identity, call)
);
""",
    # Which wording of its question an item is: standard, or a dialect.
    9: "ALTER TABLE items ADD COLUMN wording TEXT NOT NULL DEFAULT '';\n",
    # Trials of several rounds, round by round: what was answered, and what the simulated user said to it ("" where the
    # conversation ended, NULL where the user has not spoken). The trial itself comes when the last round is over.
    10: """CREATE TABLE IF NOT EXISTS rounds (
  suite TEXT NOT NULL, item TEXT NOT NULL, personalizer TEXT NOT NULL, identity TEXT NOT NULL, repeat INTEGER NOT NULL,
  round INTEGER NOT NULL, run INTEGER NOT NULL, judge TEXT NOT NULL, seed INTEGER NOT NULL, response TEXT NOT NULL,
  reply TEXT, max_tokens INTEGER NOT NULL, prompt_tokens INTEGER, completion_tokens INTEGER, reasoning_tokens INTEGER,
  cached_tokens INTEGER, calls INTEGER NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (suite, item, personalizer, identity, repeat, round)
);
""",
    # Answers that take several calls (a mitigation that asks twice, the best of four), call by call, until the answer
    # or the round is there; ``part`` is a number of what was asked.
    11: """CREATE TABLE IF NOT EXISTS parts (
  suite TEXT NOT NULL, item TEXT NOT NULL, personalizer TEXT NOT NULL, identity TEXT NOT NULL, repeat INTEGER NOT NULL,
  part INTEGER NOT NULL, run INTEGER NOT NULL, response TEXT NOT NULL, prompt_tokens INTEGER,
  completion_tokens INTEGER, reasoning_tokens INTEGER, cached_tokens INTEGER, calls INTEGER NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (suite, item, personalizer, identity, repeat, part)
);
""",
}

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE runs (
  id INTEGER PRIMARY KEY, started_at REAL NOT NULL, ended_at REAL, outcome TEXT,
  spec TEXT NOT NULL, planned INTEGER NOT NULL, revision TEXT, versions TEXT NOT NULL, settings TEXT NOT NULL
);
CREATE TABLE suites (
  suite TEXT PRIMARY KEY, axis TEXT NOT NULL, judge TEXT NOT NULL, origin TEXT NOT NULL, pool INTEGER NOT NULL
);
CREATE TABLE identities (name TEXT PRIMARY KEY, category TEXT NOT NULL, position INTEGER NOT NULL, parts TEXT NOT NULL);
CREATE TABLE items (
  suite TEXT NOT NULL, item TEXT NOT NULL, position INTEGER NOT NULL, "group" TEXT NOT NULL, prompt TEXT NOT NULL,
  question TEXT NOT NULL, target TEXT, choices TEXT NOT NULL, extra TEXT NOT NULL, PRIMARY KEY (suite, item)
);
CREATE TABLE trials (
  id INTEGER PRIMARY KEY, suite TEXT NOT NULL, item TEXT NOT NULL, personalizer TEXT NOT NULL, identity TEXT NOT NULL,
  repeat INTEGER NOT NULL, run INTEGER NOT NULL, seed INTEGER NOT NULL, request TEXT NOT NULL, response TEXT NOT NULL,
  finish_reason TEXT NOT NULL, prompt_tokens INTEGER, completion_tokens INTEGER, latency_s REAL NOT NULL,
  choice_logprobs TEXT, answered_by TEXT NOT NULL, at REAL NOT NULL
);
CREATE UNIQUE INDEX trial_cell ON trials (suite, item, personalizer, identity, repeat);
CREATE TABLE failures (
  suite TEXT NOT NULL, item TEXT NOT NULL, personalizer TEXT NOT NULL, identity TEXT NOT NULL, repeat INTEGER NOT NULL,
  run INTEGER NOT NULL, error TEXT NOT NULL, at REAL NOT NULL
);
CREATE TABLE judgements (
  trial INTEGER NOT NULL, judge TEXT NOT NULL, version TEXT NOT NULL, score REAL, label TEXT NOT NULL,
  reason TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (trial, judge)
) WITHOUT ROWID;
""" + "".join(ADDED.values())

# What a study gives out: columns documented in docs/export.md; a change there raises EXPORT_VERSION.
EXPORT_VERSION = 3
TABLES = {
    "trials": """SELECT t.id AS trial, t.suite, s.axis, i."group", t.item, t.personalizer, t.identity, n.category,
        t.repeat, t.seed, j.score, j.label, j.reason, j.judge, j.version AS judge_version, l.label AS human_label,
        l.score AS human_score, t.response, t.reasoning, t.finish_reason, t.filtered, t.prompt_tokens, t.cached_tokens,
        t.completion_tokens, t.reasoning_tokens, t.max_tokens, t.calls, t.latency_s, t.choice_logprobs, t.answered_by,
        t.at, t.request
        FROM trials t JOIN suites s ON s.suite = t.suite JOIN items i ON (i.suite, i.item) = (t.suite, t.item)
        JOIN identities n ON n.name = t.identity LEFT JOIN labels l ON l.trial = t.id
        LEFT JOIN judgements j ON j.trial = t.id AND j.judge = s.judge ORDER BY t.id""",
    "items": """SELECT suite, item, "group", question, prompt, target, choices FROM items ORDER BY suite, position""",
    "identities": "SELECT name AS identity, category, parts FROM identities ORDER BY position, rowid",
    "failures": "SELECT suite, item, personalizer, identity, repeat, error, at FROM failures ORDER BY rowid",
    "rounds": """SELECT suite, item, personalizer, identity, repeat, round,
        json_extract(response, '$.text') AS response, reply, judge, seed, prompt_tokens, completion_tokens, calls, at
        FROM rounds ORDER BY suite, item, personalizer, identity, repeat, round""",
    # Kept among the judgements, under the judge's name and theirs.
    "further": """SELECT t.id AS trial, substr(j.judge, length(s.judge) + 2) AS what, j.score, s.judge,
        j.version AS judge_version FROM trials t JOIN suites s ON s.suite = t.suite
        JOIN judgements j ON j.trial = t.id AND substr(j.judge, 1, length(s.judge) + 1) = s.judge || '#'
        ORDER BY t.id, j.judge""",
}
