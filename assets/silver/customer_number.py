"""Customer numbers: one business key, however a source writes it."""


def customer_number(text: str) -> str:
    """SQL for the integer as text: `017850` and `17850.0` are `17850`; null where blank.

    What is no integer stays as it is, for the contract to refuse.
    """
    whole = f"regexp_replace(nullif(trim({text}), ''), '[.]0+$', '')"
    return f"regexp_replace({whole}, '^0+([0-9])', '$1')"
