package main

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/lib/pq"
)

// pqConnect gives one connection, not a pool of them.
func pqConnect(more string) (*sql.DB, *sql.Conn) {
	db, err := sql.Open("postgres", "sslmode=disable "+more)
	must(err)
	conn, err := db.Conn(background)
	must(err)
	return db, conn
}

func pqState(err error) any {
	var refused *pq.Error
	if errors.As(err, &refused) {
		return string(refused.Code)
	}
	if err != nil {
		return err.Error()
	}
	return "done"
}

type pqRunner interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func pqExec(on pqRunner, text string, arguments ...any) any {
	_, err := on.ExecContext(background, text, arguments...)
	return pqState(err)
}

func pqCollect(rows *sql.Rows, err error) any {
	if err != nil {
		return pqState(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	must(err)
	var all [][]*string
	for rows.Next() {
		row, places := make([]*string, len(names)), make([]any, len(names))
		for i := range row {
			places[i] = &row[i]
		}
		must(rows.Scan(places...))
		all = append(all, row)
	}
	if rows.Err() != nil {
		return pqState(rows.Err())
	}
	return all
}

func pqRows(on pqRunner, text string, arguments ...any) any {
	return pqCollect(on.QueryContext(background, text, arguments...))
}

func pqShown(conn *sql.Conn, times int) []any {
	var seen []any
	for range times {
		seen = append(seen, pqRows(conn, show))
	}
	return seen
}

// pqUsing closes its connection afterwards.
func pqUsing(more string, use func(conn *sql.Conn) any) (any, error) {
	db, conn := pqConnect(more)
	defer db.Close()
	defer conn.Close()
	return use(conn), nil
}

func pqTwo(use func(one, other *sql.Conn) any) (any, error) {
	return pqUsing("", func(one *sql.Conn) any {
		result, _ := pqUsing("", func(other *sql.Conn) any { return use(one, other) })
		return result
	})
}

// pqPrepared prepares a statement once and uses it as often as the caller says.
func pqPrepared(conn *sql.Conn, text string) func(arguments ...any) any {
	statement, err := conn.PrepareContext(background, text)
	must(err)
	return func(arguments ...any) any { return pqCollect(statement.QueryContext(background, arguments...)) }
}

var pqCases = []testCase{
	{"startup", func() (any, error) {
		settings := "search_path=app statement_timeout=7s TimeZone=Asia/Tokyo work_mem=3MB"
		return pqUsing(settings, func(conn *sql.Conn) any { return pqShown(conn, 5) })
	}},
	{"settings", func() (any, error) {
		return pqUsing("", func(conn *sql.Conn) any {
			pqExec(conn, "set search_path = app; set time zone 'Asia/Tokyo'")
			pqExec(conn, "set statement_timeout = '7s'")
			pqExec(conn, "set session work_mem = 3072")
			seen := pqShown(conn, 5)
			pqExec(conn, "reset work_mem")
			return append(seen, pqShown(conn, 1)...)
		})
	}},
	{"prepared", func() (any, error) {
		return pqTwo(func(one, other *sql.Conn) any {
			var seen []any
			const text = "select 8 / $1::int, $2::text"
			uses := []func(arguments ...any) any{pqPrepared(one, text), pqPrepared(other, text)}
			for _, divisor := range []int{1, 2, 0, 4} {
				for _, use := range uses {
					seen = append(seen, use(divisor, "x"))
				}
			}
			return seen
		})
	}},
	{"changed_table", func() (any, error) {
		return pqTwo(func(one, other *sql.Conn) any {
			pqExec(other, "drop table if exists changed; create table changed (a int, b text); insert into changed values (1, '2')")
			use := pqPrepared(one, "select * from changed where a = $1")
			seen := []any{use(1)}
			pqExec(other, "alter table changed add c int default 3")
			// It does not prepare anew by itself.
			for range 2 {
				seen = append(seen, use(1))
			}
			return append(seen, pqPrepared(one, "select * from changed where a = $1")(1))
		})
	}},
	{"transactions", func() (any, error) {
		return pqUsing("", func(conn *sql.Conn) any {
			pqExec(conn, "drop table if exists kept; create table kept (n int)")
			tx, err := conn.BeginTx(background, &sql.TxOptions{Isolation: sql.LevelSerializable, ReadOnly: true})
			must(err)
			seen := []any{pqRows(tx, "show transaction_isolation"), pqExec(tx, "insert into kept values (1)")}
			must(tx.Rollback())
			tx, err = conn.BeginTx(background, nil)
			must(err)
			for _, text := range []string{"insert into kept values (2)", "savepoint a", "insert into kept values (3)", "rollback to a"} {
				seen = append(seen, pqExec(tx, text))
			}
			must(tx.Commit())
			return append(seen, pqRows(conn, "show transaction_isolation"), pqRows(conn, "select sum(n) from kept"))
		})
	}},
	{"cancel", func() (any, error) {
		return pqUsing("", func(conn *sql.Conn) any {
			tx, err := conn.BeginTx(background, nil)
			must(err)
			pqExec(tx, "set local statement_timeout = '100ms'")
			seen := []any{pqExec(tx, "select pg_sleep(30)")}
			must(tx.Rollback())
			patience, done := context.WithTimeout(background, 200*time.Millisecond)
			defer done()
			_, err = conn.ExecContext(patience, "select pg_sleep(30)")
			return append(seen, pqState(err))
		})
	}},
	{"copy", func() (any, error) {
		return pqUsing("", func(conn *sql.Conn) any {
			pqExec(conn, "drop table if exists copied; create table copied (a int, b text)")
			tx, err := conn.BeginTx(background, nil)
			must(err)
			statement, err := tx.Prepare(pq.CopyIn("copied", "a", "b"))
			must(err)
			for i := range 5_000 {
				_, err = statement.Exec(i, "word")
				must(err)
			}
			_, err = statement.Exec()
			must(err)
			must(statement.Close())
			must(tx.Commit())
			return pqRows(conn, "select count(*), sum(a) from copied")
		})
	}},
	{"listen", func() (any, error) {
		listener := pq.NewListener("sslmode=disable", time.Second, time.Second, nil)
		defer listener.Close()
		must(listener.Listen("lib_pq"))
		_, err := pqUsing("", func(conn *sql.Conn) any { return pqExec(conn, "select pg_notify('lib_pq', 'news')") })
		must(err)
		select {
		case news := <-listener.Notify:
			return []string{news.Channel, news.Extra}, nil
		case <-time.After(10 * time.Second):
			return nil, errors.New("heard nothing")
		}
	}},
	{"large", func() (any, error) {
		return pqUsing("", func(conn *sql.Conn) any {
			length := pqRows(conn, "select length($1::text)", strings.Repeat("x", 1_000_000))
			text := pqRows(conn, "select repeat('é', 500000)").([][]*string)
			all := pqRows(conn, "select generate_series(1, 20000)").([][]*string)
			return []any{length, len(*text[0][0]), len(all)}
		})
	}},
	{"errors", func() (any, error) {
		return pqUsing("", func(conn *sql.Conn) any {
			pqExec(conn, "drop table if exists once; create table once (n int primary key); insert into once values (1)")
			var seen []any
			for _, text := range []string{"insert into once values (1)", "selekt", "select * from nowhere", "select 1/0"} {
				seen = append(seen, pqExec(conn, text))
			}
			tx, err := conn.BeginTx(background, nil)
			must(err)
			seen = append(seen, pqExec(tx, "select 1/0"), pqExec(tx, "select 1"))
			must(tx.Rollback())
			return append(seen, pqRows(conn, "select count(*) from once"))
		})
	}},
}
