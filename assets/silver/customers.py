"""Customers: their latest known state.

Does not belong here: what they were before (`customer_changes`), their tier (`members`).
"""

from aquifer.contract import Contract, Field, Key, hours, pii, table
from aquifer.silver import mirror
from assets.bronze.customers import customers as bronze_customers
from assets.silver.customer_number import customer_number


class Customer(Contract):
    """One row a customer of the order database."""

    customer_id: str = Key(
        str_matches=r"^[0-9]+$",
        metadata=pii("customer"),
        description="customer number, the one business key of a customer",
    )
    name: str = Field(metadata=pii("name"), description="full name")
    email: str | None = Field(str_contains="@", metadata=pii("email"), description="e-mail address")
    phone: str | None = Field(metadata=pii("phone"), description="telephone number")
    address: str | None = Field(metadata=pii("address"), description="street and number")
    city: str | None = Field(description="city")
    country: str = Field(description="country")

    class Config:
        metadata = table(owner="team:orders", grain="a customer", fresh_within=hours(26))


customers = mirror(
    "customers",
    Customer,
    reads=bronze_customers,
    customer_id=customer_number("raw.customer_id"),
)
