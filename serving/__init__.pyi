from .catalog_tokens import CatalogTokens as CatalogTokens
from .catalog_tokens import TrackMatches as TrackMatches
