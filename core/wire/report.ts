/** The fields of an ErrorResponse or NoticeResponse (manual, 55.8). */

/** What an ErrorResponse or NoticeResponse of the gateway says. */
export interface Report<Severity extends string> {
  readonly severity: Severity;
  /** SQLSTATE (manual, Appendix A). */
  readonly code: string;
  readonly message: string;
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
  readonly routine?: string | undefined;
}
