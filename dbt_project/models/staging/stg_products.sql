select *
from {{ source('silver', 'products') }}
where not _deleted
