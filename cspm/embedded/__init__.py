"""The PostgreSQL that comes with the product, for when DATABASE_URL names none: one server a CSPM_HOME, a socket, no port."""
