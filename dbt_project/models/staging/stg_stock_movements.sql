select *
from {{ source('silver', 'stock_movements') }}
where not _deleted
