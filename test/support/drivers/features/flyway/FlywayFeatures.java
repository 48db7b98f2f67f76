import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.flywaydb.core.Flyway;
import org.flywaydb.core.api.FlywayException;
import org.flywaydb.core.api.MigrationInfo;
import org.flywaydb.core.api.configuration.FluentConfiguration;
import org.flywaydb.database.postgresql.PostgreSQLConfigurationExtension;

/** Flyway with pgjdbc as its users write it, one method for each column of the table of drivers. */
class FlywayFeatures {
    private static final String SHOW =
        "select concat_ws(' ', current_setting('search_path'), current_setting('statement_timeout'), current_setting('TimeZone'), current_setting('work_mem')) as shown";

    interface Work {
        Object run() throws Exception;
    }

    private final Path folder;
    private final FluentConfiguration configuration;

    /** Migrations of a schema that is made anew. */
    FlywayFeatures(String parameters) throws Exception {
        folder = Files.createTempDirectory("postern-flyway-");
        String user = System.getenv("PGUSER"), password = System.getenv("PGPASSWORD");
        configuration = Flyway.configure().dataSource(url(parameters), user, password);
        configuration.locations("filesystem:" + folder).schemas("fly").cleanDisabled(false);
    }

    static String url(String parameters) {
        return "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE") + parameters;
    }

    static FlywayFeatures fresh(String parameters) throws Exception {
        FlywayFeatures made = new FlywayFeatures(parameters);
        made.configuration.load().clean();
        return made;
    }

    void write(String name, String text) throws Exception {
        Files.writeString(folder.resolve(name), text);
    }

    Object migrate() {
        return outcome(() -> configuration.load().migrate().migrationsExecuted);
    }

    Object info() {
        List<Object> all = new ArrayList<>();
        for (MigrationInfo one : configuration.load().info().all()) all.add(one.getScript() + " " + one.getState());
        return all;
    }

    /** The rows' first column, as another session sees it. */
    static List<Object> rows(String text) throws SQLException {
        List<Object> all = new ArrayList<>();
        try (Connection conn = DriverManager.getConnection(url(""), System.getenv("PGUSER"), System.getenv("PGPASSWORD"));
             Statement statement = conn.createStatement();
             ResultSet rows = statement.executeQuery(text)) {
            while (rows.next()) all.add(rows.getString(1));
        }
        return all;
    }

    /** What it gives, or the SQLSTATE that is at the root. */
    static Object outcome(Work work) {
        try {
            return work.run();
        } catch (Exception error) {
            for (Throwable cause = error; cause != null; cause = cause.getCause())
                if (cause instanceof SQLException refused) return refused.getSQLState();
            return error instanceof FlywayException refused ? refused.getClass().getSimpleName() : error.toString();
        }
    }

    private static final String SETTINGS = "set statement_timeout = '7s'; set time zone 'Asia/Tokyo'; set work_mem = '3MB'";

    static Object startup() throws Exception {
        FlywayFeatures own = fresh("?currentSchema=app&options=-c%20statement_timeout=7s%20-c%20work_mem=3MB");
        own.write("V1__seen.sql", "create table seen as " + SHOW + ";");
        own.write("V2__seen.sql", "insert into seen " + SHOW + ";");
        return Arrays.asList(own.migrate(), rows("select shown from fly.seen"));
    }

    static Object settings() throws Exception {
        FlywayFeatures own = fresh("");
        own.configuration.initSql(SETTINGS);
        own.write("V1__seen.sql", "create table seen as " + SHOW + ";");
        own.write("V2__seen.sql", "set work_mem = '5MB'; insert into seen " + SHOW + ";");
        own.write("V3__seen.sql", "insert into seen " + SHOW + ";");
        return Arrays.asList(own.migrate(), rows("select shown from fly.seen"));
    }

    /** Its own statements are prepared, and its history of migrations is altered behind it. */
    static Object changedTable() throws Exception {
        FlywayFeatures own = fresh("");
        own.write("V1__first.sql", "create table changed (a int, b text);");
        List<Object> seen = new ArrayList<>(List.of(own.migrate()));
        own.write("V2__second.sql", "alter table changed add c int default 3;");
        own.write("V3__third.sql", "insert into changed values (1, '2');");
        seen.add(own.migrate());
        seen.add(own.info());
        seen.add(rows("select c from fly.changed"));
        own.write("V1__first.sql", "create table changed (a int);");
        seen.add(outcome(own::validate));
        return seen;
    }

    Object validate() {
        configuration.load().validate();
        return "valid";
    }

    static Object transactions() throws Exception {
        FlywayFeatures own = fresh("");
        own.write("V1__kept.sql", "create table kept (n int); insert into kept values (1);");
        own.write("V2__undone.sql", "insert into kept values (2); insert into kept values ('x');");
        List<Object> seen = new ArrayList<>(List.of(own.migrate(), own.info(), rows("select n from fly.kept")));
        own.write("V2__undone.sql", "insert into kept values (2); savepoint a; insert into kept values (3); rollback to a;");
        own.configuration.load().repair();
        seen.add(own.migrate());
        seen.add(own.migrate());
        seen.add(rows("select n from fly.kept"));
        return seen;
    }

    static Object cancel() throws Exception {
        FlywayFeatures own = fresh("");
        own.write("V1__slow.sql", "set local statement_timeout = '100ms'; select pg_sleep(30);");
        return Arrays.asList(own.migrate(), own.info());
    }

    static Object copy() throws Exception {
        FlywayFeatures own = fresh("");
        StringBuilder script = new StringBuilder("create table copied (a int, b text);\nCOPY copied (a, b) FROM STDIN;\n");
        for (int i = 0; i < 5_000; i++) script.append(i).append("\tword ").append(i).append('\n');
        own.write("V1__copied.sql", script.append("\\.\n").toString());
        return Arrays.asList(own.migrate(), rows("select concat(count(*), ' ', sum(a)) from fly.copied"));
    }

    /** In either mode, as the gateway lets it choose; PostgreSQL takes the parameter for one of its own. */
    static Object batch() throws Exception {
        return Arrays.asList(many(""), many("?options=-c%20postern.pool=session"));
    }

    /** An index that is made outside of a transaction waits for all others, and so for Flyway's own lock if a transaction holds that. */
    static Object many(String parameters) throws Exception {
        FlywayFeatures own = fresh(parameters);
        own.configuration.getConfigurationExtension(PostgreSQLConfigurationExtension.class).setTransactionalLock(false);
        own.write("V1__many.sql", "create table many (n int); insert into many select generate_series(1, 500);");
        own.write("V2__index.sql", "create index concurrently many_n on many (n);");
        own.write("R__view.sql", "create or replace view most as select max(n) as n from many;");
        List<Object> seen = new ArrayList<>(List.of(own.migrate()));
        own.write("R__view.sql", "create or replace view most as select max(n) + 1 as n from many;");
        seen.addAll(List.of(own.migrate(), own.info(), rows("select n from fly.most")));
        seen.add(rows("select indisvalid from pg_index where indexrelid = 'fly.many_n'::regclass"));
        seen.add(rows("select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())"));
        return seen;
    }

    static Object large() throws Exception {
        FlywayFeatures own = fresh("");
        own.write("V1__large.sql", "create table large as select length('" + "x".repeat(1_000_000) + "') as n;");
        return Arrays.asList(own.migrate(), rows("select n from fly.large"));
    }

    static Object errors() throws Exception {
        List<Object> seen = new ArrayList<>();
        for (String text : Arrays.asList("selekt;", "select * from nowhere;", "select 1/0;", "create table a (n int); create table a (n int);")) {
            FlywayFeatures own = fresh("");
            own.write("V1__wrong.sql", text);
            seen.add(own.migrate());
        }
        return seen;
    }

    static String version() throws Exception {
        try (java.io.InputStream text = Flyway.class.getResourceAsStream("/org/flywaydb/core/internal/version.txt")) {
            return new String(text.readAllBytes()).trim();
        }
    }

    static String json(Object value) {
        if (value instanceof Number || value instanceof Boolean) return value.toString();
        if (value instanceof List<?> list) return "[" + String.join(",", list.stream().map(FlywayFeatures::json).toList()) + "]";
        return "\"" + String.valueOf(value).replace("\\", "\\\\").replace("\"", "\\\"").replaceAll("\\s+", " ") + "\"";
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

    public static void main(String[] arguments) throws Exception {
        java.util.logging.LogManager.getLogManager().reset();
        String driver = org.postgresql.util.DriverInfo.DRIVER_VERSION;
        report("version", () -> version() + " with pgjdbc " + driver);
        report("startup", FlywayFeatures::startup);
        report("settings", FlywayFeatures::settings);
        report("changed_table", FlywayFeatures::changedTable);
        report("transactions", FlywayFeatures::transactions);
        report("cancel", FlywayFeatures::cancel);
        report("copy", FlywayFeatures::copy);
        report("batch", FlywayFeatures::batch);
        report("large", FlywayFeatures::large);
        report("errors", FlywayFeatures::errors);
    }
}
