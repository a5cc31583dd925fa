"""Where evidence is kept so that nobody may change or delete it before its time."""
