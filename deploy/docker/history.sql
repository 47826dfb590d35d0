-- History has a database of its own beside the one of queue and state: a long search must not hold back their cleaning.
CREATE DATABASE tiercel_history;
