select *
from {{ source('silver', 'exchange_rates') }}
where not _deleted
