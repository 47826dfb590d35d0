-- No plan of the state's statements looks at statistics: they are planned once, for the index (QUEUE_SESSION). To gather them anew for
-- each tenth that a table grows costs a tenth of what a loop of a hundred thousand costs.

DO $$ DECLARE t text; BEGIN
  FOREACH t IN ARRAY ARRAY['execution', 'task_run', 'task_output', 'held', 'timer', 'scope', 'trigger', 'parked'] LOOP
    EXECUTE format('ALTER TABLE ts.%I SET (autovacuum_analyze_threshold = 2000000000)', t);
  END LOOP;
END $$;
