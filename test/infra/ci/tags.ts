/** The actions by which most services give and take tags. @param service the prefix of its actions */
export function tags(service: string): string[] {
  return [`${service}:TagResource`, `${service}:UntagResource`];
}
