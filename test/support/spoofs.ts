/** Role names that a careless parser takes for others. */

/** Names that a parser of names would take for others, and names beyond ASCII. */
export const SPOOFS = [
  'a"admin"b',
  'a\\b',
  '#0c0161',
  'x,CN=admin',
  'x+CN=admin',
  'x/CN=admin',
  'CN=admin',
  ' admin',
  'admin ',
  'ad\tmin',
  'x\nadmin',
  '*',
  'админ',
  'аdmin',
  'ａdmin',
  'админ"admin"',
  '🜲',
  'adm\u0131n',
  '=',
  ';',
  '<admin>',
  "admin'",
  'a'.repeat(63),
] as const;
