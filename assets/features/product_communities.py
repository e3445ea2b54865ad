"""Product communities: products that are bought together more often than by chance."""

from aquifer.contract import Contract, Field, Key, days, table
from aquifer.features.communities import CommunityView
from aquifer.features.view import FeatureRow, Upstream
from assets.silver.invoice_lines import invoice_lines


class ProductCommunity(FeatureRow, Contract):
    """A product that was bought together with others in the 26 weeks up to a Sunday."""

    stock_code: str = Key(description="product code")
    community: str = Field(description="code of the product with most weight to the others in it")
    community_size: int = Field(ge=1, description="products of the community")
    strength: float = Field(ge=0, description="weight of the links to other products of it")
    share_within: float = Field(ge=0, le=1, description="that weight by the one of all its links")

    class Config:
        metadata = table(
            owner="team:ml", grain="a product at the end of a Sunday", fresh_within=days(8)
        )


BASKETS = """
    select concat(invoice_no, ' ', cast(at as string)) as basket, stock_code as item, at
    from (
        select *, count(*) over (partition by invoice_no, at) as products
        from (
            select distinct invoice_no, stock_code, cast(invoiced_at as date) as at
            from invoice_lines
            where line_type = 'sale'
        )
    )
    where products between 2 and 100
"""
"""What an invoice sells on a day; larger ones stock a shop, and say little of what goes well."""

product_communities = CommunityView(
    name="features.product_communities",
    contract=ProductCommunity,
    reads=[Upstream(invoice_lines, "invoiced_at")],
    query=BASKETS,
    every=7,
)
