"""Change events of the order database: the shape that all its bronze tables share."""

from aquifer.bronze_topics import TopicTable
from aquifer.contract import Contract, Field, hours, pii, table


class ChangeEvent(Contract):
    """One change of one row, as a Debezium envelope (`op`, `before`, `after`, `source`)."""

    key: str | None = Field(
        description="primary key of the row that changed", metadata=pii("customer")
    )
    value: str | None = Field(description="the envelope, as JSON", metadata=pii("record"))

    class Config:
        metadata = table(owner="team:orders", grain="a change of a row", fresh_within=hours(26))


def changes_of(entity: str) -> TopicTable:
    """The bronze table of the order database's table `entity`."""
    return TopicTable(
        f"bronze.{entity}",
        ChangeEvent,
        resource="orders",
        source="order_database",
        topic=f"orders.{entity}",
        changed_at="changed_at",
        snapshots="orders.snapshots",
    )
