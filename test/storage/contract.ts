import { describe } from 'node:test';

import { listingContract } from './contract-listing.ts';
import { multipartContract } from './contract-multipart.ts';
import { objectContract } from './contract-objects.ts';
import { type ContractOptions, type OpenStore, usePlace } from './place.ts';

/** What lib/storage/store.ts promises, asked of any store. Each test works under keys of its own. */
export function storeContract(name: string, open: OpenStore, options: ContractOptions = {}): void {
  describe(`${name} store`, () => {
    const place = usePlace(open, options);
    objectContract(place);
    listingContract(place);
    multipartContract(place);
  });
}
