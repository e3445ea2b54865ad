select *
from {{ source('silver', 'orders') }}
where not _deleted
