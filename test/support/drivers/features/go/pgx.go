package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const show = `select concat_ws(' ', current_setting('search_path'), current_setting('statement_timeout'),
	current_setting('TimeZone'), current_setting('work_mem'))`

var background = context.Background()

func pgxConnect(settings map[string]string) *pgx.Conn {
	config, err := pgx.ParseConfig("")
	must(err)
	for name, value := range settings {
		config.RuntimeParams[name] = value
	}
	conn, err := pgx.ConnectConfig(background, config)
	must(err)
	return conn
}

// pgxState is the SQLSTATE, or what else went wrong.
func pgxState(err error) any {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "deadline exceeded"
	}
	if err != nil {
		return err.Error()
	}
	return "done"
}

func pgxExec(conn *pgx.Conn, sql string, arguments ...any) any {
	_, err := conn.Exec(background, sql, arguments...)
	return pgxState(err)
}

// pgxRows gives the rows, or the SQLSTATE.
func pgxRows(conn *pgx.Conn, sql string, arguments ...any) any {
	rows, err := conn.Query(background, sql, arguments...)
	if err != nil {
		return pgxState(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
	if err != nil {
		return pgxState(err)
	}
	return all
}

func pgxShown(conn *pgx.Conn, times int) []any {
	var seen []any
	for range times {
		seen = append(seen, pgxRows(conn, show))
	}
	return seen
}

var pgxCases = []testCase{
	{"startup", func() (any, error) {
		settings := map[string]string{"search_path": "app", "statement_timeout": "7s", "TimeZone": "Asia/Tokyo", "work_mem": "3MB"}
		conn := pgxConnect(settings)
		defer conn.Close(background)
		return pgxShown(conn, 5), nil
	}},
	{"settings", func() (any, error) {
		conn := pgxConnect(nil)
		defer conn.Close(background)
		pgxExec(conn, "set search_path = app")
		pgxExec(conn, "set time zone 'Asia/Tokyo'")
		pgxExec(conn, "set statement_timeout = '7s'")
		pgxExec(conn, "set session work_mem = 3072")
		seen := pgxShown(conn, 5)
		pgxExec(conn, "reset work_mem")
		return append(seen, pgxShown(conn, 1)...), nil
	}},
	{"prepared", func() (any, error) {
		one, other := pgxConnect(nil), pgxConnect(nil)
		defer one.Close(background)
		defer other.Close(background)
		var seen []any
		for _, divisor := range []int{1, 2, 0, 4} {
			for _, conn := range []*pgx.Conn{one, other} {
				seen = append(seen, pgxRows(conn, "select 8 / $1::int, $2::text", divisor, "x"))
			}
		}
		return seen, nil
	}},
	{"changed_table", func() (any, error) {
		one, other := pgxConnect(nil), pgxConnect(nil)
		defer one.Close(background)
		defer other.Close(background)
		pgxExec(other, "drop table if exists changed")
		pgxExec(other, "create table changed (a int, b text)")
		pgxExec(other, "insert into changed values (1, '2')")
		seen := []any{pgxRows(one, "select * from changed where a = $1", 1)}
		pgxExec(other, "alter table changed add c int default 3")
		for range 3 {
			seen = append(seen, pgxRows(one, "select * from changed where a = $1", 1))
		}
		return seen, nil
	}},
	{"transactions", func() (any, error) {
		conn := pgxConnect(nil)
		defer conn.Close(background)
		pgxExec(conn, "drop table if exists kept")
		pgxExec(conn, "create table kept (n int)")
		tx, err := conn.BeginTx(background, pgx.TxOptions{IsoLevel: pgx.Serializable, AccessMode: pgx.ReadOnly})
		must(err)
		seen := []any{pgxRows(conn, "show transaction_isolation"), pgxExec(conn, "insert into kept values (1)")}
		must(tx.Rollback(background))
		tx, err = conn.Begin(background)
		must(err)
		seen = append(seen, pgxExec(conn, "insert into kept values (2)"))
		nested, err := tx.Begin(background)
		must(err)
		pgxExec(conn, "insert into kept values (3)")
		must(nested.Rollback(background))
		must(tx.Commit(background))
		return append(seen, pgxRows(conn, "show transaction_isolation"), pgxRows(conn, "select sum(n)::int from kept")), nil
	}},
	{"cancel", func() (any, error) {
		conn := pgxConnect(nil)
		defer conn.Close(background)
		pgxExec(conn, "begin")
		pgxExec(conn, "set local statement_timeout = '100ms'")
		seen := []any{pgxExec(conn, "select pg_sleep(30)")}
		pgxExec(conn, "rollback")
		go func() {
			time.Sleep(200 * time.Millisecond)
			_ = conn.PgConn().CancelRequest(background)
		}()
		return append(seen, pgxExec(conn, "select pg_sleep(30)"), pgxRows(conn, "select 1")), nil
	}},
	{"copy", func() (any, error) {
		conn := pgxConnect(nil)
		defer conn.Close(background)
		pgxExec(conn, "drop table if exists copied")
		pgxExec(conn, "create table copied (a int, b text)")
		source := pgx.CopyFromSlice(5_000, func(i int) ([]any, error) { return []any{int32(i), "word"}, nil })
		copied, err := conn.CopyFrom(background, pgx.Identifier{"copied"}, []string{"a", "b"}, source)
		must(err)
		var out bytes.Buffer
		_, err = conn.PgConn().CopyTo(background, &out, "copy copied to stdout")
		return []any{copied, out.Len(), pgxRows(conn, "select sum(a)::int from copied")}, err
	}},
	{"listen", func() (any, error) {
		hears, says := pgxConnect(nil), pgxConnect(nil)
		defer hears.Close(background)
		defer says.Close(background)
		pgxExec(hears, "listen pgx")
		pgxExec(says, "select pg_notify('pgx', 'news')")
		patience, done := context.WithTimeout(background, 10*time.Second)
		defer done()
		news, err := hears.WaitForNotification(patience)
		if err != nil {
			return nil, err
		}
		return []string{news.Channel, news.Payload}, nil
	}},
	{"batch", func() (any, error) {
		conn := pgxConnect(nil)
		defer conn.Close(background)
		var seen []any
		for _, last := range []int{1, 0} {
			batch := &pgx.Batch{}
			for _, n := range []int{1, 2, 4, last, 8} {
				batch.Queue("select 8 / $1::int", n)
			}
			results := conn.SendBatch(background, batch)
			for range 5 {
				var n int
				seen = append(seen, pgxState(results.QueryRow().Scan(&n)), n)
			}
			_ = results.Close()
		}
		return seen, nil
	}},
	{"large", func() (any, error) {
		conn := pgxConnect(nil)
		defer conn.Close(background)
		var length, count int
		var text string
		must(conn.QueryRow(background, "select length($1::text)", strings.Repeat("x", 1_000_000)).Scan(&length))
		must(conn.QueryRow(background, "select repeat('é', 500000)").Scan(&text))
		rows, err := conn.Query(background, "select generate_series(1, 20000)")
		must(err)
		for rows.Next() {
			count++
		}
		return []any{length, len(text), count}, rows.Err()
	}},
	{"errors", func() (any, error) {
		conn := pgxConnect(nil)
		defer conn.Close(background)
		pgxExec(conn, "drop table if exists once")
		pgxExec(conn, "create table once (n int primary key)")
		pgxExec(conn, "insert into once values (1)")
		var seen []any
		for _, sql := range []string{"insert into once values (1)", "selekt", "select * from nowhere", "select 1/0"} {
			seen = append(seen, pgxExec(conn, sql))
		}
		pgxExec(conn, "begin")
		seen = append(seen, pgxExec(conn, "select 1/0"), pgxExec(conn, "select 1"))
		pgxExec(conn, "rollback")
		return append(seen, pgxRows(conn, "select count(*)::int from once")), nil
	}},
}
