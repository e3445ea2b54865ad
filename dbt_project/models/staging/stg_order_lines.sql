select *
from {{ source('silver', 'order_lines') }}
where not _deleted
