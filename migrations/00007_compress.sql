-- +goose Up

-- What tasks take, give and print is text that mostly repeats itself. lz4 is
-- faster than the disk and the log that it spares. A server that was built
-- without it keeps what it has.
-- +goose StatementBegin
do $$
begin
	alter table outcomes alter outputs set storage extended, alter outputs set compression lz4;
	alter table input_blocks alter data set storage extended, alter data set compression lz4;
	alter table logs alter data set compression lz4;
	alter table attempts alter data set compression lz4;
exception when feature_not_supported or syntax_error then
	raise notice 'this server has no lz4: %', sqlerrm;
end
$$;
-- +goose StatementEnd

-- +goose Down
alter table attempts alter data set compression default;
alter table logs alter data set compression default;
alter table input_blocks alter data set storage external, alter data set compression default;
alter table outcomes alter outputs set storage external, alter outputs set compression default;
