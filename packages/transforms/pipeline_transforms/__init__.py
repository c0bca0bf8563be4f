"""From stored records to answers: cleaning, versions, the eight questions. DataFrame in, DataFrame out."""
