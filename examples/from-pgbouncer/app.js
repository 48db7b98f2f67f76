/**
 * The application: it writes rows as fast as it can, and connects anew every ten statements. At SIGTERM it finishes what it has begun, and says how many
 * rows were written and how often something failed, a login or a statement.
 */
import { readFileSync } from 'node:fs';
import { Pool } from 'pg';

const {
  DB_HOST = 'localhost',
  DB_PORT = '6432',
  DB_USER = 'shop',
  DB_PASSWORD,
  TOKEN_FILE,
  CA,
} = process.env;

const pool = new Pool({
  host: DB_HOST,
  port: Number(DB_PORT),
  database: 'orders',
  user: DB_USER,
  // A token is read when it is needed: something else keeps the file fresh.
  password: TOKEN_FILE ? () => readFileSync(TOKEN_FILE, 'utf8').trim() : DB_PASSWORD,
  ssl: CA ? { ca: readFileSync(CA) } : false,
  max: 4,
  maxUses: 10,
});
pool.on('error', () => {});

const counts = { written: 0, failed: 0 };
const over = new AbortController();
process.once('SIGTERM', () => over.abort());

async function work() {
  while (!over.signal.aborted) {
    try {
      await pool.query('insert into ledger (writer) values ($1)', [DB_USER]);
      counts.written += 1;
      if (counts.written === 1) console.log('writing');
    } catch (error) {
      counts.failed += 1;
      console.error(error.message);
    }
  }
}

await Promise.all(Array.from({ length: 4 }, work));
await pool.end();
console.log(JSON.stringify(counts));
