"""Invoice lines as the daily files hold them: all text, every delivery of every file."""

from aquifer.bronze_files import FileTable
from aquifer.contract import Contract, Field, hours, pii, table


class InvoiceLineReceived(Contract):
    """One line of a delivered invoice file, as received."""

    InvoiceNo: str | None = Field(description="invoice number; C begins a cancellation")
    StockCode: str | None = Field(description="code of the product or service")
    Description: str | None = Field(description="product text at the till")
    Quantity: str | None = Field(description="pieces")
    InvoiceDate: str | None = Field(description="instant of the invoice, UTC")
    UnitPrice: str | None = Field(description="price a piece in GBP")
    CustomerID: str | None = Field(description="customer number", metadata=pii("customer"))
    Country: str | None = Field(description="country of the customer")

    class Config:
        metadata = table(
            owner="team:sales", grain="a line of a delivery of a file", fresh_within=hours(26)
        )


invoice_lines = FileTable(
    "bronze.invoice_lines", InvoiceLineReceived, resource="landing", source="invoice_files"
)
