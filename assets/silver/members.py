"""Members of the rewards programme."""

from aquifer.contract import Contract, Date, Field, Key, Timestamp, hours, pii, table
from aquifer.silver import silver
from assets.bronze.members import members as bronze_members
from assets.silver.customer_number import customer_number


class Member(Contract):
    """One row a member."""

    member_id: str = Key(metadata=pii("customer"), description="number in the rewards programme")
    customer_id: str = Field(
        str_matches=r"^[0-9]+$",
        metadata=pii("customer"),
        description="customer number, the one business key of a customer",
    )
    status: str = Field(isin=["active", "closed"], description="active or closed")
    joined_on: Date = Field(description="day of joining")
    deleted_at: Timestamp | None = Field(
        description="instant at which the member was found deleted"
    )

    class Config:
        metadata = table(owner="team:loyalty", grain="a member", fresh_within=hours(26))


@silver(Member, reads=bronze_members)
def members() -> str:
    return f"""
        select *,
            raw.member_id as member_id,
            {customer_number("raw.customer_id")} as customer_id,
            raw.status as status,
            raw.joined_on as joined_on,
            case when _op = 'd' then _changed_at end as deleted_at
        from new
    """
