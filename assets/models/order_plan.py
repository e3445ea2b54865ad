"""Order plan: how much of which product to order now, for the four weeks that are forecast.

What no store has a record of is not in stock. Demand is that of the invoices; what a piece sells
for is its list price.
"""

from aquifer.contract import Contract, Key, days, table
from aquifer.models.order_plan import OrderPlan, PlannedOrder
from assets.models.demand_forecast import demand_forecast


class ProductOrder(PlannedOrder, Contract):
    """The order of a product that earns most under a budget, and what it gains on a naive rule."""

    stock_code: str = Key(description="stock code, trimmed and in upper case")

    class Config:
        metadata = table(owner="team:products", grain="a product", fresh_within=days(2))


OFFERS = """
    with stock as (
        select stock_code, sum(greatest(on_hand, 0)) as on_hand
        from fct_inventory
        where day = (select max(day) from fct_inventory)
        group by stock_code
    ),
    sales as (
        select stock_code, units_1 + units_2 + units_3 + units_4 as sold
        from product_demand
        where day = (select max(day) from product_demand)
    )
    select
        p.sku as stock_code,
        coalesce(k.on_hand, 0) as on_hand,
        cast(p.cost as double) as cost,
        cast(p.list_price as double) as price,
        coalesce(s.sold, 0) as sold
    from products p
        left join stock k on p.sku = k.stock_code
        left join sales s on p.sku = s.stock_code
    where p.cost > 0
"""

order_plan = OrderPlan(
    name="predictions.order_plan",
    contract=ProductOrder,
    forecaster=demand_forecast,
    tables=["silver.products", "gold.fct_inventory", "features.product_demand"],
    offers=OFFERS,
)
