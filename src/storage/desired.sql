-- Version 3: the number of an extension whose settings are remembered: groups name their members by it.
ALTER TABLE desired ADD COLUMN number TEXT;
