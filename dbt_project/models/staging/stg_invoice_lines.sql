select *
from {{ source('silver', 'invoice_lines') }}
where not _deleted
