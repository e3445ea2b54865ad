"""Recommendations: which products are bought together with what is in a basket."""

from aquifer.contract import Contract, Field, Key, days, table
from aquifer.models.model import Prediction, Split
from aquifer.models.recommender import Recommender
from assets.features.product_communities import BASKETS, product_communities


class Recommendation(Prediction, Contract):
    """What to show beside a product: those that are bought together with it, the best first."""

    stock_code: str = Key(description="product code")
    items: list[str] = Field(description="codes of the ten products to show")
    scores: list[float] = Field(
        description="how alike the baskets of each are to the product's: 1 is the same; up to "
        "0.0001 of it is for being popular"
    )

    class Config:
        metadata = table(owner="team:ml", grain="a product", fresh_within=days(8))


recommendations = Recommender(
    name="recommendations",
    contract=Recommendation,
    baskets=BASKETS,
    tables=["silver.invoice_lines"],
    features={product_communities: []},
    split=Split(horizon=days(0), holdout=days(28)),
)
