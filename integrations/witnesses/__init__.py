"""Where signed heads of the ledger are kept by others."""
