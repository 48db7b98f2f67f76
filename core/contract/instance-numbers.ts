/** The numbers of a fleet's instances: what a cancel key has room for, where an id is too long. */

/** From the first to the last: ids of 3.0 cancel keys with smaller ones would be among those of server processes, and the one above is of keys of an instance without a number. */
export const INSTANCE_NUMBERS = { first: 2, last: 1_022 };

/** The numbers as one instance knows them now. Plain data. */
export interface InstanceNumbers {
  /** This instance's: no other live one has it. Undefined: none could be claimed. */
  readonly number: number | undefined;
  /** This instance's, and those that it had before: keys with those numbers were issued here. */
  readonly numbers: readonly number[];
  /** The ids of others by their numbers. */
  readonly byNumber: Readonly<Record<number, string>>;
}
