"""Customer behaviour: how recently, how often and for how much a customer has bought online."""

from aquifer.contract import Contract, Field, Key, hours, pii, table
from aquifer.features.view import FeatureRow, feature_view
from assets.silver.invoice_lines import invoice_lines
from assets.silver.members import members
from assets.silver.tier_history import tier_history

TIERS = ["none", "bronze", "silver", "gold", "platinum"]


class CustomerBehaviour(FeatureRow, Contract):
    """A customer who has bought in the year up to a day, as of the end of that day."""

    customer_id: str = Key(metadata=pii("customer"), description="customer number")
    recency_days: int = Field(ge=0, description="days since the last day with a purchase")
    tenure_days: int = Field(ge=0, description="days since the first day with a purchase")
    invoices_30d: int = Field(ge=0, description="invoices with a sale in the last 30 days")
    invoices_90d: int = Field(ge=0, description="invoices with a sale in the last 90 days")
    invoices_365d: int = Field(ge=1, description="invoices with a sale in the last 365 days")
    purchase_days_365d: int = Field(ge=1, description="days with a purchase in the last 365 days")
    net_30d: float = Field(description="net of sales and returns in the last 30 days, GBP")
    net_90d: float = Field(description="net of sales and returns in the last 90 days, GBP")
    net_365d: float = Field(description="net of sales and returns in the last 365 days, GBP")
    mean_basket: float = Field(ge=0, description="mean value of an invoice in 365 days, GBP")
    mean_lines: float = Field(gt=0, description="mean number of lines of an invoice in 365 days")
    return_rate: float = Field(ge=0, description="value returned for one sold in 365 days")
    mean_gap_days: float | None = Field(
        gt=0, description="mean days between days with a purchase; null with one alone"
    )
    overdue: float | None = Field(ge=0, description="recency in mean gaps; null with one purchase")
    loyalty_tier: str = Field(isin=TIERS, description="tier in the rewards programme, or none")

    class Config:
        metadata = table(
            owner="team:ml", grain="a customer at the end of a day", fresh_within=hours(26)
        )


@feature_view(
    CustomerBehaviour,
    reads={invoice_lines: "invoiced_at", tier_history: "changed_at", members: "joined_on"},
)
def customer_behaviour() -> str:
    return """
    with dealings as (
        select
            customer_id,
            cast(invoiced_at as date) as dealt_on,
            count(distinct case when line_type = 'sale' then invoice_no end) as invoices,
            count(case when line_type = 'sale' then 1 end) as lines,
            sum(net_amount) as net,
            sum(case when line_type = 'sale' then net_amount else 0 end) as sold
        from invoice_lines
        where customer_id is not null and line_type in ('sale', 'return')
        group by customer_id, cast(invoiced_at as date)
    ),
    tiers as (
        select m.customer_id, h.tier, h.changed_at
        from members m join tier_history h on m.member_id = h.member_id
    ),
    tier_of as (
        select d.day, t.customer_id, max_by(t.tier, t.changed_at) as tier
        from tiers t join days d
            on t.changed_at < d.event_time
        group by d.day, t.customer_id
    ),
    windows as (
        select
            d.day, s.customer_id,
            datediff(d.day, max(case when invoices > 0 then dealt_on end)) as recency_days,
            datediff(d.day, min(case when invoices > 0 then dealt_on end)) as tenure_days,
            sum(case when dealt_on > date_sub(d.day, 30) then invoices else 0 end) as invoices_30d,
            sum(case when dealt_on > date_sub(d.day, 90) then invoices else 0 end) as invoices_90d,
            sum(invoices) as invoices_365d,
            count(case when invoices > 0 then 1 end) as purchase_days_365d,
            cast(sum(case when dealt_on > date_sub(d.day, 30) then net else 0 end) as double)
                as net_30d,
            cast(sum(case when dealt_on > date_sub(d.day, 90) then net else 0 end) as double)
                as net_90d,
            cast(sum(net) as double) as net_365d,
            cast(sum(sold) as double) as sold_365d,
            sum(lines) as lines_365d
        from days d join dealings s
            on s.dealt_on <= d.day and s.dealt_on > date_sub(d.day, 365)
        group by d.day, s.customer_id
    ),
    derived as (
        select *,
            sold_365d / invoices_365d as mean_basket,
            lines_365d / invoices_365d as mean_lines,
            case when sold_365d > 0 then (sold_365d - net_365d) / sold_365d else 0 end
                as return_rate,
            case when purchase_days_365d > 1
                then (tenure_days - recency_days) / (purchase_days_365d - 1) end as mean_gap_days
        from windows
        where invoices_365d > 0
    )
    select w.*, recency_days / mean_gap_days as overdue,
        coalesce(t.tier, 'none') as loyalty_tier
    from derived w left join tier_of t on w.day = t.day and w.customer_id = t.customer_id
    """
