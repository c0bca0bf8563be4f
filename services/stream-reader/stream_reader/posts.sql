-- Every content of every post: the first record of each, as the stream tables hold it. A kind's other columns are null.
CREATE TABLE IF NOT EXISTS content (
  kind TEXT NOT NULL,
  ind INTEGER NOT NULL,
  hash TEXT NOT NULL,
  -- The place of the first record, in the order of pipeline_transforms.versions.
  arrived_us INTEGER NOT NULL,
  shard TEXT NOT NULL,
  digits INTEGER NOT NULL,
  sequence TEXT NOT NULL,
  log TEXT NOT NULL,
  poster TEXT,
  followers INTEGER,
  category TEXT,
  title TEXT,
  country TEXT,
  age_group TEXT,
  PRIMARY KEY (kind, ind, hash)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS content_by_poster ON content (poster) WHERE poster IS NOT NULL;

-- Up to which version of each stream table all rows are above.
CREATE TABLE IF NOT EXISTS covered (
  source TEXT PRIMARY KEY,
  table_id TEXT NOT NULL,
  version INTEGER NOT NULL
) WITHOUT ROWID;

-- Profiles that stream/profile_popularity does not show as they are.
CREATE TABLE IF NOT EXISTS dirty (
  poster TEXT PRIMARY KEY,
  since INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS counter (
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT OR IGNORE INTO counter VALUES ('changes', 0), ('commits', 0);
