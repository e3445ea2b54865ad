"""Customer changes: every state that a customer has had, the source of `dim_customer`."""

from aquifer.contract import Contract, Field, Key, Timestamp, hours, pii, table
from aquifer.merge import History
from aquifer.silver import silver
from assets.bronze.customers import customers as bronze_customers
from assets.silver.customer_number import customer_number


class CustomerChange(Contract):
    """One row a customer and instant of change; of several at one instant, the last."""

    customer_id: str = Key(
        str_matches=r"^[0-9]+$",
        metadata=pii("customer"),
        description="customer number, the one business key of a customer",
    )
    changed_at: Timestamp = Key(description="instant of the change, UTC")
    name: str | None = Field(metadata=pii("name"), description="full name")
    city: str | None = Field(description="city")
    country: str | None = Field(description="country")
    is_deleted: bool = Field(description="whether the source deleted the row at that instant")

    class Config:
        metadata = table(
            owner="team:orders", grain="a customer at an instant of change", fresh_within=hours(26)
        )


@silver(CustomerChange, reads=bronze_customers, policy=History())
def customer_changes() -> str:
    return f"""
        select *,
            {customer_number("raw.customer_id")} as customer_id,
            raw.name as name,
            raw.city as city,
            raw.country as country,
            _valid_from as changed_at,
            _op = 'd' as is_deleted
        from new
    """
