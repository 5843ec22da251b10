-- One table for records of every kind: a new kind needs no migration, and a commit of several kinds
-- is one order of writes.
CREATE TABLE Records (
  kind STRING(253) NOT NULL,
  name STRING(253) NOT NULL,
  value BYTES(MAX) NOT NULL,
  revision INT64 NOT NULL,
) PRIMARY KEY (kind, name);

-- One row, id 0, written by every commit: the revision, and what the transaction wrote, in order.
CREATE TABLE Heads (
  id INT64 NOT NULL,
  revision INT64 NOT NULL,
  commits BYTES(MAX) NOT NULL,
) PRIMARY KEY (id);

-- Which of these files were applied, and when: nothing before can be read by this schema.
CREATE TABLE Migrations (
  version INT64 NOT NULL,
  applied TIMESTAMP NOT NULL OPTIONS (allow_commit_timestamp = true),
) PRIMARY KEY (version);

-- Whole rows, so that a change can be applied without knowing what was there before.
CREATE CHANGE STREAM Changes FOR Records, Heads
  OPTIONS (value_capture_type = 'NEW_ROW', retention_period = '7d');
