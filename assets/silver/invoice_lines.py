"""Invoice lines: one row a line of an invoice, cleaned, typed and classified.

Belongs here: what a line is. Does not: what a product is called (`gold.dim_product`), who bought
(`customers`).
"""

from aquifer.conform import integer, money, timestamp
from aquifer.contract import Contract, Field, Key, Money, Timestamp, hours, pii, table
from aquifer.engine import literal
from aquifer.held_by_files import HeldByFiles
from aquifer.patterns import portable
from aquifer.silver import silver
from assets.bronze.invoice_lines import invoice_lines as bronze_invoice_lines
from assets.silver.customer_number import customer_number

LINE_TYPES = ["adjustment", "service", "return", "write_off", "free", "sale"]


class InvoiceLine(Contract):
    """One row a line of an invoice; equal lines of one invoice are one."""

    line_id: str = Key(description="hash of the eight values, blanks and number formats removed")
    invoice_no: str = Field(str_matches=r"^[AC]?[0-9]{6}$", description="C cancels, A adjusts")
    stock_code: str = Field(str_length={"min_value": 1}, description="trimmed, in upper case")
    description: str | None = Field(description="text at the till; null where blank")
    quantity: int = Field(ne=0, description="pieces; negative when they come back")
    unit_price: Money = Field(description="GBP a piece, all places kept")
    customer_id: str | None = Field(
        str_matches=r"^[0-9]+$",
        metadata=pii("customer"),
        description="customer number; null where blank",
    )
    country: str = Field(str_length={"min_value": 1}, description="country of the invoice")
    invoiced_at: Timestamp = Field(description="instant of the invoice, UTC")
    net_amount: Money = Field(description="quantity x unit_price, GBP")
    line_type: str = Field(
        isin=LINE_TYPES,
        description="the first that holds: adjustment, service, return, write_off, free, sale",
    )

    class Config:
        metadata = table(
            owner="team:sales",
            grain="a line of an invoice",
            fresh_within=hours(26),
            partition_by="invoiced_at",
            cluster_by=("stock_code",),
            rules={"price_not_negative": "unit_price >= 0 or line_type = 'adjustment'"},
        )


PRODUCT = literal(portable("^[0-9]{5}[A-Z]{0,2}$", whole=True))
QUANTITY = integer("quantity")
PRICE = money("unit_price")
INVOICED_AT = timestamp("invoiced_at")

# What makes two lines equal: the values, not how a file writes them. Nulls are marked, so that a
# missing value and an empty neighbour never look alike.
IDENTITY = ", ".join(
    f"coalesce(cast({value} as string), {text}, '\\u0000')"
    for value, text in (
        ("invoice_no", "invoice_no"),
        ("stock_code", "stock_code"),
        ("description", "description"),
        (QUANTITY, "quantity"),
        (INVOICED_AT, "invoiced_at"),
        (PRICE, "unit_price"),
        ("customer_id", "customer_id"),
        ("country", "country"),
    )
)


@silver(InvoiceLine, reads=bronze_invoice_lines, policy=HeldByFiles())
def invoice_lines() -> str:
    return f"""
        select *,
            sha2(concat_ws('\\u0001', {IDENTITY}), 256) as line_id,
            {QUANTITY} * {PRICE} as net_amount,
            case
                when invoice_no like 'A%' then 'adjustment'
                when not stock_code rlike {PRODUCT} then 'service'
                when invoice_no like 'C%' then 'return'
                when {QUANTITY} < 0 then 'write_off'
                when {PRICE} = 0 then 'free'
                else 'sale'
            end as line_type
        from (
            select *,
                upper(trim(raw.InvoiceNo)) as invoice_no,
                upper(trim(raw.StockCode)) as stock_code,
                nullif(trim(raw.Description), '') as description,
                trim(raw.Quantity) as quantity,
                trim(raw.UnitPrice) as unit_price,
                {customer_number("raw.CustomerID")} as customer_id,
                trim(raw.Country) as country,
                trim(raw.InvoiceDate) as invoiced_at
            from new
        )
    """
