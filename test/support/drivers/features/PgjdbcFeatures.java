import java.io.StringReader;
import java.io.StringWriter;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.copy.CopyManager;

/** pgjdbc as its users write it, one method for each column of the table of drivers. */
class PgjdbcFeatures {
    private static final String SHOW =
        "select current_setting('search_path'), current_setting('statement_timeout'), current_setting('TimeZone'), current_setting('work_mem')";

    interface Work {
        Object run() throws Exception;
    }

    static Connection connect(String... settings) throws SQLException {
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
        Properties properties = new Properties();
        properties.setProperty("user", System.getenv("PGUSER"));
        properties.setProperty("password", System.getenv("PGPASSWORD"));
        for (int i = 0; i < settings.length; i += 2) properties.setProperty(settings[i], settings[i + 1]);
        return DriverManager.getConnection(url, properties);
    }

    static Object outcome(Work work) throws Exception {
        try {
            return work.run();
        } catch (SQLException error) {
            return error.getSQLState();
        }
    }

    static List<Object> collect(ResultSet rows) throws SQLException {
        List<Object> all = new ArrayList<>();
        while (rows.next()) {
            List<Object> row = new ArrayList<>();
            for (int i = 1; i <= rows.getMetaData().getColumnCount(); i++) row.add(rows.getString(i));
            all.add(row);
        }
        return all;
    }

    static Object exec(Connection conn, String text) throws SQLException {
        try (Statement statement = conn.createStatement()) {
            return statement.execute(text);
        }
    }

    static List<Object> rows(Connection conn, String text) throws SQLException {
        try (Statement statement = conn.createStatement()) {
            return collect(statement.executeQuery(text));
        }
    }

    static List<Object> shown(Connection conn, int times) throws SQLException {
        List<Object> seen = new ArrayList<>();
        for (int i = 0; i < times; i++) seen.add(rows(conn, SHOW));
        return seen;
    }

    static Object startup() throws Exception {
        String options = "-c statement_timeout=7s -c TimeZone=Asia/Tokyo -c work_mem=3MB";
        try (Connection conn = connect("currentSchema", "app", "options", options)) {
            // The zone of the virtual machine comes directly, and wins.
            return shown(conn, 5);
        }
    }

    static Object settings() throws Exception {
        try (Connection conn = connect()) {
            conn.setSchema("app");
            exec(conn, "set time zone 'Asia/Tokyo'");
            exec(conn, "set statement_timeout = '7s'");
            exec(conn, "set session work_mem = 3072");
            List<Object> seen = shown(conn, 5);
            exec(conn, "reset work_mem");
            seen.addAll(shown(conn, 1));
            conn.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            for (int i = 0; i < 3; i++) seen.add(rows(conn, "show transaction_isolation"));
            return seen;
        }
    }

    static Object prepared() throws Exception {
        List<Object> seen = new ArrayList<>();
        try (Connection one = connect(); Connection other = connect()) {
            List<PreparedStatement> statements = new ArrayList<>();
            for (Connection conn : Arrays.asList(one, other)) statements.add(conn.prepareStatement("select 8 / ?, ?"));
            // From the fifth use on it has a name on the server.
            for (int divisor : new int[] {1, 1, 1, 1, 1, 1, 2, 0, 4, 0, 8}) {
                for (PreparedStatement statement : statements) {
                    statement.setInt(1, divisor);
                    statement.setString(2, "x");
                    seen.add(outcome(() -> collect(statement.executeQuery())));
                }
            }
        }
        return seen;
    }

    static Object changedTable() throws Exception {
        List<Object> seen = new ArrayList<>();
        try (Connection one = connect(); Connection other = connect()) {
            exec(other, "drop table if exists changed; create table changed (a int, b text); insert into changed values (1, '2')");
            PreparedStatement statement = one.prepareStatement("select * from changed where a = ?");
            for (int i = 0; i < 12; i++) {
                if (i == 8) exec(other, "alter table changed add c int default 3");
                statement.setInt(1, 1);
                seen.add(outcome(() -> collect(statement.executeQuery())));
            }
        }
        return seen;
    }

    static Object transactions() throws Exception {
        List<Object> seen = new ArrayList<>();
        try (Connection conn = connect()) {
            exec(conn, "drop table if exists kept; create table kept (n int)");
            conn.setAutoCommit(false);
            conn.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            conn.setReadOnly(true);
            seen.add(rows(conn, "show transaction_isolation"));
            seen.add(outcome(() -> exec(conn, "insert into kept values (1)")));
            conn.rollback();
            conn.setReadOnly(false);
            conn.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
            exec(conn, "insert into kept values (2)");
            Savepoint savepoint = conn.setSavepoint();
            exec(conn, "insert into kept values (3)");
            conn.rollback(savepoint);
            conn.commit();
            seen.add(rows(conn, "show transaction_isolation"));
            seen.add(rows(conn, "select sum(n) from kept"));
        }
        return seen;
    }

    static Object cancel() throws Exception {
        List<Object> seen = new ArrayList<>();
        try (Connection conn = connect(); Statement statement = conn.createStatement()) {
            statement.setQueryTimeout(1);
            seen.add(outcome(() -> statement.execute("select pg_sleep(30)")));
            statement.setQueryTimeout(0);
            new Thread(() -> {
                try {
                    Thread.sleep(200);
                    statement.cancel();
                } catch (Exception error) {
                    throw new IllegalStateException(error);
                }
            }).start();
            seen.add(outcome(() -> statement.execute("select pg_sleep(30)")));
            seen.add(rows(conn, "select 1"));
        }
        return seen;
    }

    static Object copy() throws Exception {
        try (Connection conn = connect()) {
            exec(conn, "drop table if exists copied; create table copied (a int, b text)");
            StringBuilder lines = new StringBuilder();
            for (int i = 0; i < 5_000; i++) lines.append(i).append("\tword ").append(i).append('\n');
            CopyManager copies = conn.unwrap(PGConnection.class).getCopyAPI();
            List<Object> seen = new ArrayList<>();
            seen.add(copies.copyIn("copy copied from stdin", new StringReader(lines.toString())));
            StringWriter out = new StringWriter();
            seen.add(copies.copyOut("copy copied to stdout", out));
            seen.add(out.toString().length());
            return seen;
        }
    }

    static Object listen() throws Exception {
        try (Connection hears = connect(); Connection says = connect()) {
            exec(hears, "listen pgjdbc");
            exec(says, "select pg_notify('pgjdbc', 'news')");
            PGNotification[] news = hears.unwrap(PGConnection.class).getNotifications(10_000);
            return Arrays.asList(news[0].getName(), news[0].getParameter());
        }
    }

    static Object batch() throws Exception {
        List<Object> seen = new ArrayList<>();
        try (Connection conn = connect("reWriteBatchedInserts", "true")) {
            exec(conn, "drop table if exists many; create table many (n int primary key)");
            try (PreparedStatement statement = conn.prepareStatement("insert into many values (?)")) {
                for (int last : new int[] {2_000, 5}) {
                    for (int n = 0; n < 300; n++) {
                        statement.setInt(1, last + n);
                        statement.addBatch();
                    }
                    seen.add(outcome(() -> Arrays.stream(statement.executeBatch()).count()));
                    statement.clearBatch();
                    statement.setInt(1, last);
                    seen.add(outcome(statement::executeUpdate));
                }
            }
            seen.add(rows(conn, "select count(*) from many"));
        }
        return seen;
    }

    static Object large() throws Exception {
        try (Connection conn = connect(); PreparedStatement statement = conn.prepareStatement("select length(?::text)")) {
            List<Object> seen = new ArrayList<>();
            statement.setString(1, "x".repeat(1_000_000));
            seen.add(collect(statement.executeQuery()));
            conn.setAutoCommit(false);
            try (Statement cursor = conn.createStatement()) {
                cursor.setFetchSize(500);
                seen.add(collect(cursor.executeQuery("select generate_series(1, 20000)")).size());
            }
            return seen;
        }
    }

    static Object errors() throws Exception {
        List<Object> seen = new ArrayList<>();
        try (Connection conn = connect()) {
            exec(conn, "drop table if exists once; create table once (n int primary key); insert into once values (1)");
            for (String text : Arrays.asList("insert into once values (1)", "selekt", "select * from nowhere", "select 1/0")) {
                seen.add(outcome(() -> exec(conn, text)));
            }
            conn.setAutoCommit(false);
            seen.add(outcome(() -> exec(conn, "select 1/0")));
            seen.add(outcome(() -> exec(conn, "select 1")));
            conn.rollback();
            seen.add(rows(conn, "select count(*) from once"));
        }
        return seen;
    }

    static String json(Object value) {
        if (value == null) return "null";
        if (value instanceof Number || value instanceof Boolean) return value.toString();
        if (value instanceof List<?> list) {
            List<String> all = new ArrayList<>();
            for (Object one : list) all.add(json(one));
            return "[" + String.join(",", all) + "]";
        }
        return "\"" + value.toString().replace("\\", "\\\\").replace("\"", "\\\"").replaceAll("\\s+", " ") + "\"";
    }

    static void report(String name, Work work) {
        String outcome;
        try {
            outcome = "\"result\":" + json(work.run());
        } catch (Throwable error) {
            outcome = "\"error\":" + json(error.toString());
        }
        System.out.println("{\"case\":" + json(name) + "," + outcome + "}");
    }

    public static void main(String[] arguments) {
        report("version", () -> org.postgresql.util.DriverInfo.DRIVER_VERSION);
        report("startup", PgjdbcFeatures::startup);
        report("settings", PgjdbcFeatures::settings);
        report("prepared", PgjdbcFeatures::prepared);
        report("changed_table", PgjdbcFeatures::changedTable);
        report("transactions", PgjdbcFeatures::transactions);
        report("cancel", PgjdbcFeatures::cancel);
        report("copy", PgjdbcFeatures::copy);
        report("listen", PgjdbcFeatures::listen);
        report("batch", PgjdbcFeatures::batch);
        report("large", PgjdbcFeatures::large);
        report("errors", PgjdbcFeatures::errors);
    }
}
